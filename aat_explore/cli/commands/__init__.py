"""The commands of `aat`, a file a group: their flags and what they do, together.

    training.py     `aat train`
    demo.py         `aat demo`
    runs.py         `aat list`, `aat show`, `aat copy`
    robustness.py   `aat evaluate`, `aat check`
    grids.py        `aat grid`, `aat report`
    app.py          `aat app`
    bench.py        `aat bench`, `aat fidelity`
    embedding.py    `aat embed`

To add one, write `class Name(Command)`, a dataclass, into one of these files or a new one: it is `aat name`, its fields
are its flags, its docstring is its help. Import inside `run` what takes long to load, as torch and pandas do.
"""
