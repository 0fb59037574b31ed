"""A folder that is a Space on the Hub as it stands: app.py, requirements.txt and a README with front matter; `demo --space FOLDER`."""

from importlib import metadata
from pathlib import Path

from ..errors import CourseError
from ..images import atomic_write
from .publish import repository

APP = '''"""The page of srgan-course on a Hub Space."""

from srgan_lib.apps.demo import launch

launch()
'''
README = """---
title: Enlarge an image
emoji: 🔍
colorFrom: blue
colorTo: green
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
license: mit
short_description: SRResNet and SRGAN of a course, on a CPU
---

# Enlarge an image

The page of [srgan-course]({address}). It runs on a CPU, keeps nothing for longer than ten minutes, and calls no other server. What looks like new
detail is the network's guess.
"""


def write_space(folder: str | Path) -> list[Path]:
    """Write the files -> their paths. Raises CourseError where the folder holds an app.py that is another one's, or cannot be written."""
    folder, address = Path(folder), repository() or "https://github.com/OWNER/srgan-course"
    texts = {"app.py": APP, "requirements.txt": f"srgan-course[demo] @ git+{address}\n", "README.md": README.format(gradio=gradio_version(), address=address)}
    for name, text in texts.items():
        try:
            if (folder / name).is_file() and (folder / name).read_text("utf-8", "replace") != text and not is_ours(folder / name):
                raise CourseError(f"{folder / name}: is there already and is another one's; name an empty folder")
        except OSError as error:
            raise CourseError(f"{folder / name}: cannot be read ({error.strerror})") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            atomic_write(folder / name, lambda file: file.write(text.encode()))
    except OSError as error:
        raise CourseError(f"{folder}: cannot be written ({error.strerror})") from None
    return [folder / name for name in texts]


def is_ours(path: Path) -> bool:
    """Whether a file was written by an earlier call: it begins as ours do, which the README of a copy of the course does not."""
    begins = {"app.py": APP, "requirements.txt": "srgan-course[demo]", "README.md": README}[path.name].split("{")[0]
    return path.read_text("utf-8", "replace").startswith(begins[:60])


def gradio_version() -> str:
    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        return "6.31.0"  # what the page was looked at with
