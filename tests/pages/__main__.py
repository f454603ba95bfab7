"""Write all filled parts of README and manual anew."""

from __future__ import annotations

from tests.pages.blocks import PAGES, ROOT, filled


def main() -> None:
    """Print the pages that changed."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        anew = filled(text)
        if anew != text:
            page.write_text(anew, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
