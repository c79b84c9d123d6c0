"""Files of older and of newer versions are read as `records` says, and only what is required can be missed."""

import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from synthetic import make_evaluation, make_record, make_report, make_run, rewrite

from aat_explore.config import AttackConfig, RunConfig, Values
from aat_explore.errors import AATError
from aat_explore.experiments.run import writable
from aat_explore.presets import preset
from aat_explore.records import RENAMED, Check, CheckReport, EpochMetrics, Evaluation
from aat_explore.store import Run, RunDamagedError, Store, reading, writer
from aat_explore.store.run import FileEntry, Head

CONFIG = preset("mini", num_perturbed=20, num_recorded=3, epochs=4)
SHOWCASE = Path(__file__).resolve().parents[2] / "cache" / "showcase"
FIELDS = EpochMetrics.model_fields
REQUIRED = [name for name, field in FIELDS.items() if field.is_required()]
OPTIONAL = [name for name, field in FIELDS.items() if not field.is_required()]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def run(tmp_path) -> Run:
    """Two of four epochs."""
    return made(tmp_path)


def made(root: Path) -> Run:
    return make_run(Store(root), epochs=4, committed=2, evaluated=False, num_train=60, **CHANGES)


CHANGES = {"num_perturbed": 20, "num_recorded": 3}


def go_on(run: Run) -> Run:
    """Train the next epoch."""
    store = Store(run.path.parent.parent)
    with store.writer(run.config) as trainer:
        trainer.commit(make_record(run.config, trainer.epoch + 1, 60))
    return store.open(run.id)


def written(run: Run) -> pd.DataFrame:
    """The metrics as they are in the file."""
    return pd.read_parquet(run.path / "metrics.parquet")


# --- metrics.parquet -------------------------------------------------------------------------------------------------


@given(st.sets(st.sampled_from(OPTIONAL)), st.booleans())
def test_without_any_set_of_optional_columns_a_run_opens_and_resumes(tmp_path_factory, missing, emptied):
    run = made(tmp_path_factory.mktemp("cache"))
    before = run.metrics()
    frame = written(run)
    frame = frame.assign(**dict.fromkeys(missing)) if emptied else frame.drop(columns=list(missing))
    run = rewrite(run, "metrics.parquet", frame)
    kept = [name for name in FIELDS if name not in missing]
    for opened in (run, go_on(run)):
        rows = opened.metrics_file().rows[:2]
        assert list(opened.metrics().columns) == list(FIELDS)
        assert opened.metrics().dtypes.equals(before.dtypes)
        assert opened.metrics()[kept][:2].equals(before[kept])
        assert all(getattr(row, name) == FIELDS[name].default for row in rows for name in missing)
    assert list(written(opened).columns) == list(FIELDS)
    assert opened.metrics()["sum_scores"].iloc[2] == 123.0


@pytest.mark.parametrize("column", REQUIRED)
def test_a_missing_required_column_is_damage_and_named(run, column):
    run = rewrite(run, "metrics.parquet", written(run).drop(columns=[column]))
    with pytest.raises(RunDamagedError, match=rf"metrics\.parquet lacks the required columns {column};"):
        run.metrics()
    with pytest.raises(RunDamagedError, match=f"required columns {column};"):
        go_on(run)


def test_all_missing_required_columns_are_named_at_once(run):
    with pytest.raises(RunDamagedError, match="lacks the required columns lr, loss;"):
        rewrite(run, "metrics.parquet", written(run).drop(columns=["loss", "lr"])).metrics()


def test_an_empty_required_cell_is_damage_and_its_column_named(run):
    run = rewrite(run, "metrics.parquet", written(run).assign(loss=[0.5, None]))
    with pytest.raises(RunDamagedError, match=r"metrics\.parquet does not fit this version \(loss=None: .*update aat"):
        run.metrics()


def test_unknown_columns_are_not_read_and_a_trainer_writes_them_again(run):
    before = run.metrics()
    added = {"added_number": [0.5, 0.25], "added_word": ["a", None], "added_list": [[1, 2], []]}
    run = rewrite(run, "metrics.parquet", written(run).assign(**added))
    assert run.metrics().equals(before)
    for epochs in (3, 4):
        run = go_on(run)
        frame = written(run)
        assert list(frame.columns) == [*FIELDS, *added]
        assert frame["added_number"].tolist()[:2] == [0.5, 0.25]
        assert [list(cell) for cell in frame["added_list"][:2]] == [[1, 2], []]
        assert frame[list(added)][2:].isna().all(axis=None)
        assert len(frame) == epochs
    assert list(run.metrics().columns) == list(FIELDS)


def test_a_renamed_column_is_read_under_its_new_name_and_written_under_it_alone(run, monkeypatch):
    before = run.metrics()
    monkeypatch.setitem(RENAMED, EpochMetrics, {"sum_norms": "sum_scores", "cost": "loss"})
    reading.metrics_of.cache_clear()
    run = rewrite(run, "metrics.parquet", written(run).rename(columns={"sum_scores": "sum_norms", "loss": "cost"}))
    assert run.metrics().equals(before)
    run = go_on(run)
    assert list(written(run).columns) == list(FIELDS)
    assert run.metrics()[:2].equals(before)


def test_every_run_of_the_showcase_has_its_sums_of_scores():
    runs = Store(SHOWCASE).list().runs
    assert len(runs) > 60
    for run in runs:
        columns = written(run)
        sums = columns.get("sum_gradient_norms", columns.get("sum_scores"))
        assert run.metrics()["sum_scores"].equals(sums.astype(float))
        assert sums.notna().any() == run.config.samples


def test_of_an_old_and_a_new_name_the_new_one_counts(run, monkeypatch):
    before = run.metrics()
    monkeypatch.setitem(RENAMED, EpochMetrics, {"cost": "loss"})
    assert rewrite(run, "metrics.parquet", written(run).assign(cost=[7.0, 8.0])).metrics().equals(before)


class Wider(EpochMetrics):
    """Metrics of a later version."""

    grad_norm_max: float | None = Field(None, description="A column that no run before it has.")
    restarts: int = Field(1, description="And one with a default that is true of every run before it.")
    augmented: bool | None = None


@contextmanager
def of_later_version():
    """The store of a version that measures more."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (reading, writer):
            patch.setattr(module, "EpochMetrics", Wider)
        reading.metrics_of.cache_clear()
        yield
    reading.metrics_of.cache_clear()


def test_every_run_of_the_showcase_opens_when_metrics_gain_optional_columns():
    with of_later_version():
        listing = Store(SHOWCASE).list()
        assert not listing.damaged
        assert len(listing.runs) == len(Store(SHOWCASE).run_ids()) > 60
        for run in listing.runs:
            added = run.metrics()[["grad_norm_max", "restarts", "augmented"]]
            assert added.isna().all().tolist() == [True, False, True]
            assert (added["restarts"] == 1).all()


def test_a_run_goes_to_a_later_version_and_back_and_to_it_again(run):
    with of_later_version():
        store = Store(run.path.parent.parent)
        with store.writer(run.config) as trainer:
            record = make_record(run.config, 3, 60)
            more = Wider(**record.metrics.model_dump(), grad_norm_max=0.5, restarts=2, augmented=True)
            trainer.commit(replace(record, metrics=more))
        there = store.open(run.id).metrics_file().rows
    run = go_on(store.open(run.id))
    assert run.epoch == 4
    with of_later_version():
        rows = store.open(run.id).metrics_file().rows
        assert rows[:3] == there
        assert [row.grad_norm_max for row in rows] == [None, None, 0.5, None]
        assert [row.restarts for row in rows] == [1, 1, 2, 1]
        assert [row.augmented for row in rows] == [None, None, True, None]


# --- JSON records ----------------------------------------------------------------------------------------------------

CHECK = Check(name="label leaking", status="pass", reason="No.", figures={"accuracy": 0.5})
RECORDS = [
    CONFIG,
    make_evaluation(CONFIG, 2),
    make_report(CONFIG, 2, (CHECK,)),
    Head(schema_version=1, epoch=1, files={"config.json": FileEntry(size=1, sha256="0")}),
]
BY_MODEL = pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)


def widened(fields: object) -> object:
    """The same with a field that nobody knows in every record within; free mappings stay as they are."""
    if isinstance(fields, list):
        return [widened(item) for item in fields]
    if not isinstance(fields, dict):
        return fields
    inside = {name: value if name in FREE else widened(value) for name, value in fields.items()}
    return inside if "config.json" in fields else inside | {"from_the_future": {"a": [1]}}


FREE = ("versions", "figures")


@BY_MODEL
def test_unknown_fields_are_ignored_in_files_and_nowhere_else(record):
    fields = json.loads(record.model_dump_json())
    wider = widened(fields)
    if isinstance(record, Evaluation):  # its attack is a free mapping
        wider["attack"] = fields["attack"]
    assert reading.recorded(type(record), json.dumps(wider).encode()) == record
    with pytest.raises(ValueError, match="from_the_future"):
        type(record).model_validate(wider)


@BY_MODEL
def test_missing_optional_fields_take_their_default_and_a_missing_required_one_is_named(record):
    fields = json.loads(record.model_dump_json())
    for name, field in type(record).model_fields.items():
        content = json.dumps({key: value for key, value in fields.items() if key != name}).encode()
        if field.is_required():
            with pytest.raises(ValueError, match=rf"(?m)^{name}\n  Field required"):
                reading.recorded(type(record), content)
        else:
            default = field.get_default(call_default_factory=True, validated_data={"versions": {}})
            assert getattr(reading.recorded(type(record), content), name) == default


@pytest.mark.parametrize("name", ["num_correct", "created"])
def test_an_evaluation_without_a_required_field_is_damage_that_names_it(run, name):
    with Store(run.path.parent.parent).writer(run.config) as trainer:
        trainer.add_evaluation(make_evaluation(run.config, 2))
    (file,) = (file for file in Run(run.path).head.files if file.startswith("evaluations/"))
    fields = json.loads((run.path / file).read_text())
    del fields[name]
    with pytest.raises(RunDamagedError, match=rf"{file} does not fit this version \({name} is missing\)"):
        rewrite(run, file, fields).evaluations()


OLD = {RunConfig: "norm_power", AttackConfig: "steps", Evaluation: "seed", CheckReport: "checks", Check: "reason",
       Head: "epoch", FileEntry: "size"}  # fmt: skip


def aged(value: object) -> object:
    """A record as JSON has it, with one field of each record within by an old name."""
    if isinstance(value, Values):
        return {f"old_{name}" if name == OLD[type(value)] else name: aged(part) for name, part in value}
    if isinstance(value, dict):
        return {name: aged(part) for name, part in value.items()}
    return [aged(part) for part in value] if isinstance(value, tuple) else value


@BY_MODEL
def test_a_renamed_field_is_read_under_its_new_name_wherever_it_stands(record, monkeypatch):
    content = json.dumps(aged(record)).encode()
    with pytest.raises(ValueError, match="old_"):
        type(record).model_validate_json(content)
    for model, name in OLD.items():
        monkeypatch.setitem(RENAMED, model, {f"old_{name}": name})
    assert reading.recorded(type(record), content) == record
    assert reading.unknown_fields(content, record) == {}
    with pytest.raises(ValueError, match="old_"):  # in files only
        type(record).model_validate_json(content)


# --- Settings of a newer version -------------------------------------------------------------------------------------


class Newer(RunConfig):
    """Settings of a later version; its default means what was done before."""

    clip: float = 0.0


class NewerAttack(AttackConfig):
    decay: float = 0.0


class OtherAttack(RunConfig):
    """A later version's attack has the new setting."""

    attack: NewerAttack = NewerAttack()


def test_a_setting_unknown_here_is_ignored_where_the_runs_name_shows_that_it_changes_nothing(tmp_path):
    for newer in (Newer(**CONFIG.model_dump()), OtherAttack(**CONFIG.model_dump())):
        store = Store(tmp_path / type(newer).__name__)
        with store.writer(newer) as trainer:
            trainer.commit(make_record(newer, 1, 60))
        run = store.open(newer.run_id)
        assert reading.unknown_fields(run.content("config.json"), run.config)
        assert type(run.config) is RunConfig
        assert run.config == CONFIG
        assert go_on(run).epoch == 2


@pytest.mark.parametrize(
    ("newer", "named"),
    [
        (Newer(**CONFIG.model_dump(), clip=0.5), r"\(clip=0\.5\)"),
        (Newer(**CONFIG.model_dump() | {"num_perturbed": 0}, clip=0.5), r"\(clip=0\.5\)"),
    ],
)
def test_a_run_trained_with_a_setting_unknown_here_is_refused_and_the_setting_named(tmp_path, newer, named):
    other = made(tmp_path)
    with Store(tmp_path).writer(newer) as trainer:
        trainer.commit(make_record(newer, 1, 60))
    before = {file: file.read_bytes() for file in (tmp_path / "runs" / newer.run_id).rglob("*.*")}
    with pytest.raises(RunDamagedError, match=f"{newer.run_id} was trained with settings .* not know {named}; update"):
        _ = Store(tmp_path).open(newer.run_id).config
    with pytest.raises(AATError, match="update aat-explore"):
        writable(newer.run_id, tmp_path)
    listing = Store(tmp_path).list()
    assert [run.id for run in listing.runs] == [other.id]
    assert listing.damaged.keys() == {newer.run_id}
    assert {file: file.read_bytes() for file in before} == before


def test_a_value_that_only_a_newer_version_knows_is_refused_with_the_advice_to_update(run):
    fields = json.loads((run.path / "config.json").read_text())
    fields["attack"]["kind"] = "of-the-future"
    with pytest.raises(RunDamagedError, match=r"attack\.kind='of-the-future'.*; update aat-explore if a newer one"):
        _ = rewrite(run, "config.json", fields).config


def test_what_users_type_is_still_refused_if_it_is_no_field():
    with pytest.raises(AATError, match=r"clip=0\.5 is not a field"):
        preset("mini", clip=0.5)
    assert Values.model_config["extra"] == "forbid"


# --- Rules of checks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "rules"), [("0.1.0", 1), ("0.1.1", 2)])
def test_reports_that_do_not_say_their_rules_were_judged_by_those_of_their_version(version, rules):
    fields = make_report(CONFIG, 1, (CHECK,)).model_dump(mode="json") | {"versions": {"aat-explore": version}}
    del fields["rules"]
    assert reading.recorded(CheckReport, json.dumps(fields).encode()).rules == rules
