"""Draw the figures of README and docs/measurements.md, with the manifest that says what is in them; print the table."""

import argparse
import json

from figures import make


def main() -> None:
    """Draw every figure beside this file, and write `manifest.json`."""
    argparse.ArgumentParser(prog="python -m figures", description=__doc__.splitlines()[0]).parse_args()
    entries = []
    for file, figure in make.FIGURES.items():
        data = figure.data()
        (make.HERE / file).write_bytes(figure.draw(data))
        entries.append(make.entry(file, data))
    manifest = {"versions": make.versions(), "figures": entries}
    text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    (make.HERE / "manifest.json").write_text(text, encoding="utf-8")
    print(make.table(make.kept("ablations")))


if __name__ == "__main__":
    main()
