"""The API pages: the docstrings of all modules as HTML, made by pdoc.

    pip install -e ".[docs]" && python docs/api.py site      # then open site/index.html

Both packages import their names when they are first used, so each public name is used here once, for pdoc to see it.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pdoc

PACKAGES = ("minisd", "suppress")
LEFT_OUT = {"cli", "ui", "__main__"}  # the commands describe themselves with --help, and the page by what is on it


def modules(package: str) -> list[str]:
    """The names of a package and of all its modules. pdoc by itself leaves out those that `__all__` does not name."""
    found = [module.name for module in walk_packages(import_module(package).__path__, f"{package}.")]
    return [package, *(name for name in found if not LEFT_OUT & set(name.split(".")))]


def main(folder: Path) -> None:
    """Writes the pages. What pdoc warns of, such as a public name that does not exist, is an error."""
    for package in map(import_module, PACKAGES):
        for name in package.__all__:
            getattr(package, name)
    names = [name for package in PACKAGES for name in modules(package)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "The module specification")  # a package is named, and so are its modules
        warnings.filterwarnings("ignore", "Error parsing type annotation")  # it is shown as it is written
        pdoc.pdoc(*names, output_directory=folder)
    pages = [name for name in names if (folder / f"{name.replace('.', '/')}.html").is_file()]
    if missing := set(names) - set(pages):
        raise SystemExit(f"no page for {', '.join(sorted(missing))}")
    print(f"{folder / 'index.html'}: {len(pages)} modules")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python docs/api.py FOLDER")
    main(Path(sys.argv[1]))
