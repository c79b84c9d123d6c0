"""The attack lab's page on normal, empty, partial and damaged caches; small networks with random weights."""

import io
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pages
import pytest
from network_runs import make_network_run
from pages import HOSTILE, said
from PIL import Image
from streamlit.testing.v1 import AppTest
from synthetic import make_run

from aat_explore import datasets
from aat_explore.dashboard import page
from aat_explore.store import Store
from aat_explore.views import frames

opened = partial(pages.opened, "attack")


def numbers(app: AppTest) -> dict[str, str]:
    return {metric.label: f"{metric.value} {metric.delta}" for metric in app.metric}


def pictures(app: AppTest) -> list[str]:
    """Addresses of the pictures shown, which hold their bytes."""
    return re.findall(r'<img src="([^"]*)"', pages.markup(app))


# --- What is shown ---------------------------------------------------------------------------------------------------


def test_a_sample_is_attacked_and_everything_is_shown(store):
    run, data = make_network_run(store), datasets.load("fashion-mini")
    app = opened()
    assert not app.warning
    assert not app.error
    assert len(set(pictures(app))) == 3
    assert len(app.get("vega_lite_chart")) == 3
    assert re.search(r"[0-4] of 4 seen on this sample. They are signs, not proof", said(app))
    image = app.number_input(key="image").value
    assert image == frames.recorded.first_fooled(run, data)
    assert app.query_params["image"] == str(image)
    assert app.metric[0].value == page.plain(data.class_names[data.train.labels[image]])


@pytest.mark.parametrize("epsilon", [0.315, 0.031])
def test_the_slider_shows_epsilon_to_the_last_digit_that_it_can_have(store, epsilon):
    make_network_run(store, epsilon=epsilon)
    slider = opened().slider(key="eps")
    assert (slider.proto.format, slider.value) == ("%.3f", epsilon)


def test_the_numbers_shown_are_those_of_the_lab(store):
    from aat_explore.experiments import lab as attack_lab

    run, data = make_network_run(store), datasets.load("fashion-mini")
    app = opened(sample="test image", test_image="5", attack="PGD", eps="0.2", steps="3", checkpoint="1", alpha="2.0")
    attempt = frames.attack.Attempt("pgd", 0.2, 3, 2.0)
    network = attack_lab.frozen_network(run, data, 1)
    found = attack_lab.attack(network, data.test.images(slice(5, 6))[0], int(data.test.labels[5]), attempt)
    shown = numbers(app)
    assert shown["Loss, adversarial"] == f"{found.pgd_losses[8]:.3g} {found.fgsm_losses[0]:.3g} clean"
    assert shown["Predicted, adversarial"].endswith(f" {100 * found.after.max():.1f}%")
    assert "PGD, 3 steps of α = 0.133, ε = 0.2" in said(app)


def test_every_choice_changes_what_is_shown(store):
    make_network_run(store)
    usual = {"attack": "PGD", "eps": "0.2", "steps": "3", "image": "4"}
    seen = {tuple(numbers(opened(**(usual | other))).values()) for other in (
        {}, {"attack": "FGSM"}, {"eps": "0.1"}, {"steps": "1", "alpha": "0.5"}, {"image": "5"},
        {"sample": "test image"}, {"checkpoint": "1"}, {"random": "false", "alpha": "0.5"},
        {"alpha": "0.5"}, {"alpha": "0.5", "attack_seed": "7"},
    )}  # fmt: skip
    assert len(seen) == 10


def test_a_number_follows_the_widget_and_the_address_follows_too(store):
    make_network_run(store)
    app = opened(eps="0.3", attack="FGSM")
    before = numbers(app)
    app.slider(key="eps").set_value(0.05).run()
    assert numbers(app) != before
    assert "ε = 0.05" in said(app)
    app.slider(key="eps").set_value(0.3).run()
    assert numbers(app) == before


def test_the_url_chooses_everything(store):
    make_network_run(store)
    run = make_network_run(store, seed=1)
    app = opened(run=run.id, checkpoint="1", image="17", attack="PGD", eps="0.15", steps="7", random="false")
    assert pages.chosen_run(app) == run.id
    assert app.selectbox(key="checkpoint").value == "1"
    assert app.number_input(key="image").value == 17
    assert (app.slider(key="eps").value, app.slider(key="steps").value) == (0.15, 7)
    assert not app.toggle(key="random").value
    assert "PGD, 7 steps" in said(app)


@pytest.mark.parametrize(
    "query",
    [
        {"run": "../../etc/passwd", "checkpoint": "99", "image": "-3", "eps": "nan", "steps": "1e9"},
        {"sample": "<b>", "attack": "CW", "eps": "7", "steps": "x", "image": "999999", "alpha": "-1"},
        {"checkpoint": "**2**", "attack_seed": "99999999999", "random": "perhaps", "eps": "inf"},
    ],
)
def test_junk_in_the_url_falls_back_with_a_note(store, query):
    make_network_run(store)
    app = opened(**query)
    assert not app.error
    assert len(app.warning) == len(query)
    assert len(pictures(app)) == 3


# --- Uploads ---------------------------------------------------------------------------------------------------------


def test_an_uploaded_image_is_attacked_and_what_was_done_is_said(store):
    make_network_run(store)
    app = opened(sample="upload")
    assert "Choose a PNG or JPEG" in said(app)
    assert not pictures(app)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(buffer, "PNG")
    app.file_uploader[0].upload("a.png", buffer.getvalue(), "image/png").run()
    assert not app.exception
    assert "60 × 40 pixels, cropped to the central 40 × 40, resized to 28 × 28, converted to grey" in said(app)
    assert len(pictures(app)) == 3
    before = pictures(app)[0]
    app.toggle(key="invert").set_value(True).run()
    assert pictures(app)[0] != before


def test_a_bad_upload_is_a_message(store):
    make_network_run(store)
    app = opened(sample="upload")
    app.file_uploader[0].upload("a.png", b"junk", "image/png").run()
    assert not app.exception
    assert "the file is not a readable PNG or JPEG" in app.error[0].value.replace("\\", "")
    assert not pictures(app)


# --- Caches in all states --------------------------------------------------------------------------------------------


def test_an_empty_cache_gets_the_command_to_type(store):
    app = opened()
    assert any("aat demo" in code.value for code in app.code)
    assert not pictures(app)


@pytest.mark.parametrize("n", [0, "all"])
def test_the_networks_of_baselines_are_attacked_too(store, n):
    make_network_run(store, num_perturbed=n)
    assert len(pictures(opened())) == 3


def test_a_custom_network_is_attacked_too_with_steps_that_suit_any(store):
    make_network_run(store, model="aat_explore.examples:SmallCNN", score="aat_explore.examples:entropy")
    app = opened(attack="PGD")
    assert not app.error
    assert len(pictures(app)) == 3
    assert "PGD, 10 steps" in said(app)


def test_a_custom_network_that_is_not_there_is_a_message(store):
    make_run(store, model="__not_here__:Net")
    app = opened()
    assert app.error[0].value.startswith(page.plain("model=__not_here__:Net cannot be imported; searched "))
    assert not pictures(app)


def test_a_run_in_its_first_epochs_has_a_network_already(store):
    make_network_run(store, epochs=10, committed=1)
    assert len(pictures(opened())) == 3


def test_weights_that_do_not_fit_the_network_are_a_message(store):
    make_run(store)
    app = opened()
    assert "do not fit the network" in app.error[0].value
    assert not pictures(app)


def test_a_damaged_checkpoint_is_a_message_and_another_still_opens(store):
    run = make_network_run(store)
    (run.path / "checkpoints/0002.safetensors").write_bytes(b"junk")
    app = opened()
    assert page.plain("checkpoints/0002.safetensors is damaged") in app.error[0].value
    app.selectbox(key="checkpoint").set_value("1").run()
    assert not app.error
    assert len(pictures(app)) == 3


def test_a_run_that_vanishes_while_viewed_is_no_traceback(store):
    gone, *others = (make_network_run(store, seed=seed) for seed in range(3))
    app = opened(run=gone.id)
    shutil.rmtree(gone.path)
    app.run()
    assert not app.exception
    assert pages.chosen_run(app) in [run.id for run in others]
    assert len(pictures(app)) == 3


def test_without_the_data_set_the_page_says_so(store):
    make_run(store, dataset="mnist")
    app = opened()
    assert page.plain("AAT_DATA") in said(app)
    assert "Choose another run" in said(app)
    assert not pictures(app)


def test_hostile_names_are_shown_and_not_obeyed(store):
    for lr in (0.1, 0.2):
        make_run(store, dataset=HOSTILE, epochs=1, num_perturbed=100, lr=lr)
    app = opened(checkpoint=HOSTILE, sample=HOSTILE)
    assert not app.error
    texts = [*(part.value for part in [*app.info, *app.markdown, *app.caption]), *(s.label for s in app.selectbox)]
    for text in texts:
        assert not re.search(r"(?<!\\)(\*\*bold|`x|\$y|:red|\]\(http|<img)", text)


def test_torch_is_loaded_by_an_attack_and_not_before(tmp_path, monkeypatch):
    make_network_run(Store(tmp_path))
    script = '''
import sys
from streamlit.testing.v1 import AppTest
import aat_explore.dashboard.pages.attack
body = """
from aat_explore.dashboard import page
from aat_explore.dashboard.pages import attack

with page.drawing():
    attack.show()
"""
app = AppTest.from_string(body, default_timeout=60)
app.query_params["sample"] = "upload"
assert not app.run().exception, app.exception
assert "torch" not in sys.modules, "torch was imported"
app = AppTest.from_string(body, default_timeout=60).run()
assert sum(part.proto.body.count("<img src") for part in app.get("html")) == 3
assert "torch" in sys.modules
'''
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2], timeout=120)
