"""Take README's pictures of the dashboard again: `python bench/pictures.py`, in a
checkout whose cache has no runs but the showcase; AAT_DATA must lead to Fashion-MNIST.

Writes, into aat_explore/docs, the start page on the showcase, and the picks of one of its runs while its epochs play.
"""

import io

from browsing import ROOT, TILE, chromium, opened, settled, started
from PIL import Image
from playwright.sync_api import Page

DOCS = ROOT / "aat_explore" / "docs"
RUN, EPOCHS = "fashion-mnist-n10000-p1-pgd7-s3-9604f890", 15
SIZE = {"width": 1280, "height": 720}
SCALE = 0.75  # of the animation, to keep it small
SECONDS = 0.4  # per epoch; the last stays three times as long


def picture(page: Page, path: str) -> Image.Image:
    """What the window shows at a path, all drawn."""
    opened(page, path)
    settled(page)
    page.locator(TILE).first.wait_for()
    page.wait_for_timeout(2000)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    """Write both."""
    with chromium() as browser, started(["app", "--cache-dir", str(ROOT / "cache")]):
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(120_000)
        picture(page, "").quantize(128).save(DOCS / "dashboard.png", optimize=True)
        frames = [
            picture(page, f"picks?run={RUN}&epoch={epoch}&order=by p").resize(
                (round(SCALE * SIZE["width"]), round(SCALE * SIZE["height"])), Image.Resampling.LANCZOS
            )
            for epoch in range(1, EPOCHS + 1)
        ]
    milliseconds = [round(1000 * SECONDS)] * (EPOCHS - 1) + [round(3000 * SECONDS)]
    frames[0].save(
        DOCS / "playing.webp",
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
        quality=30,
        method=6,
    )


if __name__ == "__main__":
    main()
