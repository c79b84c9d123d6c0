"""Runs on one's own images: trained, queued, tested and shown as any others."""

import json
import re
import shlex
import shutil

import pages
import pytest
from custom_images import CLASSES, make_images, write_image_folder
from pages import said
from synthetic import make_evaluation, make_record

from aat_explore import command_lines, datasets
from aat_explore.cli import main
from aat_explore.cli.arguments import parse
from aat_explore.config import EvaluationConfig, checked_config
from aat_explore.errors import AATError
from aat_explore.experiments import checking
from aat_explore.experiments import run as experiment
from aat_explore.jobs import queue as training_queue
from aat_explore.jobs.job import Job
from aat_explore.presets import preset
from aat_explore.store import Store

pytestmark = pytest.mark.usefixtures("no_other_data")

IMAGES, LABELS = make_images()
GIVEN = {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES, "test_labels": LABELS}
FEW = ["--num-perturbed", "10", "--epochs", "1", "--batch-size", "8", "--epsilon", "0.03", "--no-evaluate"]


def test_a_folder_and_the_name_it_got_are_the_same_run(tmp_path, capsys):
    write_image_folder(tmp_path / "photos")
    command = ["train", *FEW, "--cache-dir", str(tmp_path), "--dataset"]
    assert main([*command, str(tmp_path / "photos")]) == 0
    said_first = capsys.readouterr().out.splitlines()[0]
    understood = r"data set (photos-[0-9a-f]{8}): 27 / 3 / 6 images .*, 3 classes, 3×20×20 \(RGB\)"
    name = re.fullmatch(understood, said_first)[1]
    shutil.rmtree(tmp_path / "photos")
    assert main([*command, name, "--quiet"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert capsys.readouterr().out == f"{run.name}\n"
    assert run.name.startswith(f"{name}-n10-p1-fgsm-s0-")


def test_a_data_sets_name_is_no_folder_of_the_same_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_image_folder(tmp_path / "fashion-mini")
    few = [
        "train",
        "--num-perturbed",
        "0",
        "--epochs",
        "1",
        "--val-attack-images",
        "9",
        "--no-evaluate",
        "--quiet",
        "--dataset",
    ]
    assert main([*few, "fashion-mini"]) == 0
    assert main([*few, "./fashion-mini"]) == 0
    published, own = capsys.readouterr().out.split()
    assert published.startswith("fashion-mini-n0-")
    assert re.match(r"fashion-mini-[0-9a-f]{8}-n0-", own)


def test_n_that_exceeds_own_images_is_refused_before_training(tmp_path, capsys):
    write_image_folder(tmp_path / "photos")
    command = ["train", "--num-perturbed", "28", "--cache-dir", str(tmp_path), "--dataset", str(tmp_path / "photos")]
    assert main(command) == 2
    assert "num_perturbed=28 exceeds num_train=27" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_queue_trains_own_images_by_the_words_of_the_command_line(tmp_path):
    name = datasets.add(GIVEN, name="photos", cache_dir=tmp_path)
    config = preset("mini", dataset=name, num_perturbed=33, epsilon=0.03)
    entry = training_queue.enqueue(tmp_path, Job(config=config))
    command = parse(shlex.split(command_lines.train(entry.job.config)))
    assert checked_config({field: getattr(command.flags, field) for field in ("dataset", "epsilon")}).dataset == name
    with pytest.raises(AATError, match="num_perturbed=34 exceeds num_train=33"):
        training_queue.enqueue(tmp_path, Job(config=config.model_copy(update={"num_perturbed": 34})))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A cache with one run on three classes of RGB images of 20×20, trained, evaluated and checked."""
    from aat_explore.robustness import checks

    cache = tmp_path_factory.mktemp("own")
    images, labels = make_images(count=180)
    given = {"train_images": images, "train_labels": labels, "class_names": CLASSES}
    name = datasets.add(given, name="stripes", cache_dir=cache)
    config = preset("mini", dataset=name, num_perturbed=20, epochs=8, batch_size=16, lr=0.01, epsilon=0.03)
    run = experiment.train(config, cache_dir=cache, threads=1, evaluate_with=EvaluationConfig(steps=5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "SQUARE_QUERIES", 20)
        checking.check(run.id, cache_dir=cache, images=10, threads=1)
    return cache, run.id


def test_a_network_learns_own_images_and_is_tested_at_its_own_epsilon(trained):
    run = Store(trained[0]).open(trained[1])
    assert run.metrics()["clean_accuracy_val"].iloc[-1] > 0.8
    (evaluation,) = run.evaluations()
    assert 0.03 in evaluation.epsilons
    assert evaluation.num_images == 30
    assert run.x_adv(8).shape == (20, 3, 20, 20)
    assert len(run.checks()) == 1


PAGES = ["runs", "picks", "sample", "dynamics", "overview", "results", "compare", "checks", "attack"]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("fresh_page")
def test_every_page_shows_own_images(trained, monkeypatch, name):
    monkeypatch.setenv("AAT_CACHE", str(trained[0]))
    app = pages.opened(name, run=trained[1])
    assert not app.error
    assert "not on this machine" not in said(app)


@pytest.mark.usefixtures("fresh_page")
def test_picks_show_the_clean_images_and_class_names(trained, monkeypatch):
    monkeypatch.setenv("AAT_CACHE", str(trained[0]))
    (sheet,) = pages.sheets(pages.opened("picks", run=trained[1], order="by class"))
    shown = {re.search(r"disc|red bar|_square_", title)[0] for title in sheet["titles"]}
    assert shown <= set(CLASSES)
    assert sheet["titles"]


def test_the_train_page_offers_own_images_and_queues_them(store, monkeypatch):
    monkeypatch.setattr(training_queue, "start_worker", lambda cache: None)
    name = datasets.add(GIVEN, name="photos", cache_dir=store.root)
    app = pages.opened("train", fields=json.dumps({"dataset": name}))
    assert app.selectbox(key="train mini dataset").value == name
    assert "num_perturbed=1000 exceeds num_train=33" in said(app).replace("\\", "")
    app.text_input(key="train mini num_perturbed").set_value("10").run()
    assert "passes over T = 33 per epoch" in said(app)
    app.button(key="train start").click().run()
    assert [entry.job.config.dataset for entry in training_queue.listing(store.root).entries] == [name]


def test_a_figure_offers_only_data_sets_that_had_the_test_it_shows(store):
    """Own data sets have as many test images as they have, so that no test is of all of them."""
    for dataset, images in (("mnist", 10_000), ("fashion-mini", 2_000)):
        config = preset("mini", dataset=dataset, epochs=1)
        with store.writer(config) as writer:
            writer.commit(make_record(config, 1))
            writer.add_evaluation(make_evaluation(config, 1, num_images=images))
    for dataset, images in (("mnist", "10,000"), ("fashion-mini", "2,000")):
        app = pages.opened("results", dataset=dataset)
        assert not app.error
        assert f"{images} test images" in "".join(app.query_params["test"])
        assert "Tested with" not in {box.label for box in app.selectbox}  # there is no other test to choose
