"""Is a network robust, and is the robustness real?

    evaluation.py    accuracy under an attack over a grid of ε, a verdict on every image
    attempts.py      what each kind of robustness test does, one class per kind
    autoattack.py    the standard AutoAttack, by pyautoattack
    checks.py        signs that robustness is not real

Everything here accepts any network from pixels in [0, 1] to logits.
"""
