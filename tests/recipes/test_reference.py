from pathlib import Path

from slmcheck.recipes.reference import reference_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "recipe.md"


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "python -m slmcheck.recipes.reference > docs/reference/recipe.md"
    )


def test_every_field_has_a_meaning():
    rows = [line for line in reference_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert all(line.split(" | ")[-1].strip(" |") for line in rows)
