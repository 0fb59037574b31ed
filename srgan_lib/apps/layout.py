"""What stands where on the page, and which button calls what."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

from ..upscaling.pictures import SCALES
from .settings import BICUBIC, MOST_FILES, OWN, first_strength
from .temporary import KEPT_SECONDS

EXAMPLES = {"cat": "chelsea.png", "coffee": "coffee.png", "rocket": "rocket.jpg"}  # photographs that scikit-image carries


def lay_out(gradio, names: list[str], first: str, receive, compute, compute_all) -> None:
    """Inside a `with gradio.Blocks()`: every part, wired to the three functions of the page."""
    dropped = gradio.State(time_to_live=KEPT_SECONDS)
    with gradio.Row():
        with gradio.Column():
            file = gradio.File(label="Picture", elem_id="picture", height=140)
            with gradio.Row():
                examples = [gradio.Button(label, size="sm", min_width=60, elem_id=f"example-{label}") for label in EXAMPLES]
        with gradio.Column():
            chosen = choices(gradio, names, first)
            start = gradio.Button("Enlarge", variant="primary", elem_id="start")
    status = gradio.HTML(elem_id="status")
    slider = gradio.ImageSlider(label="Left: bicubic, or what it is compared with; right: the model", interactive=False, elem_id="slider", format="png")
    download = gradio.DownloadButton("Download", interactive=False, elem_id="download")
    several = batch(gradio)
    file.change(receive, file, [dropped, status], api_name="receive", concurrency_limit=2)
    for button, name in zip(examples, EXAMPLES.values()):
        button.click(partial(_example, receive, name), None, [dropped, status], api_name=False, concurrency_limit=2)
    chosen.model.change(first_strength, chosen.model, chosen.strength, api_name=False)
    chosen.other.change(lambda name: 1 if name == BICUBIC else first_strength(name), chosen.other, chosen.other_strength, api_name=False)
    how = [chosen.model, chosen.strength, chosen.scale, chosen.size]
    start.click(compute, [dropped, *how, chosen.other, chosen.other_strength], [slider, download, status], api_name="enlarge",
                concurrency_limit=None)  # the page lets one compute at a time
    several.start.click(compute_all, [several.files, *how], [several.download, several.status], api_name="enlarge_all",
                        concurrency_limit=None)


def choices(gradio, names: list[str], first: str) -> SimpleNamespace:
    """Model, strength, scale, exact size, and what the result is compared with."""
    made = SimpleNamespace()
    made.model = gradio.Dropdown(names, value=first, label="Model", elem_id="model")
    made.strength = gradio.Slider(0, 1, first_strength(first), step=0.05, label="Strength, of a GAN", elem_id="strength")
    with gradio.Row():
        made.scale = gradio.Dropdown([OWN, *map(str, SCALES)], value=OWN, label="Scale", elem_id="scale")
        made.size = gradio.Textbox("", label="Or exactly, as 1920x1080", elem_id="size", max_lines=1)
    with gradio.Accordion("Compare with another model, or another strength", open=False, elem_id="left"):
        made.other = gradio.Dropdown([BICUBIC, *names], value=BICUBIC, label="Compared with", elem_id="other")
        made.other_strength = gradio.Slider(0, 1, 1, step=0.05, label="Its strength, of a GAN", elem_id="other-strength")
    return made


def batch(gradio) -> SimpleNamespace:
    """Several images and their zip."""
    made = SimpleNamespace()
    with gradio.Accordion("Several images at once", open=False, elem_id="several"):
        made.files = gradio.File(label=f"Up to {MOST_FILES} images", file_count="multiple", elem_id="pictures", height=140)
        made.start = gradio.Button("Enlarge all", elem_id="start-all")
        made.status = gradio.HTML(elem_id="status-all")
        made.download = gradio.DownloadButton("Download zip", interactive=False, elem_id="download-all")
    return made


def _example(receive, name: str):
    """What `receive` makes of a photograph that scikit-image carries."""
    import skimage.data
    return receive(str(Path(skimage.data.__file__).parent / name))
