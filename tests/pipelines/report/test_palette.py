import pytest

from pipelines.report import palette

LIGHT_CARD, DARK_CARD = palette.PAPER, "#171C22"


@pytest.mark.parametrize("windows", [0, 1, 3, 6])
def test_every_colour_of_a_plot_has_a_twin_of_its_own(windows: int) -> None:
    twins = palette.twins(windows)
    used = {palette.category(index).colour for index in range(12)}
    used |= {palette.window(index, windows).colour for index in range(windows)}
    assert used <= set(twins)
    assert len(set(twins.values())) == len(twins)


def test_series_stand_out_from_the_page_in_both_schemes() -> None:
    faint = {palette.GRID, palette.PAPER}
    for light, dark in palette.twins(3).items():
        if light not in faint:
            assert _contrast(light, LIGHT_CARD) >= 3, light
            assert _contrast(dark, DARK_CARD) >= 3, dark


def test_text_is_readable_in_both_schemes() -> None:
    for colour in (palette.INK, palette.MUTED):
        assert _contrast(colour, LIGHT_CARD) >= 4.5
        assert _contrast(palette.twins(0)[colour], DARK_CARD) >= 4.5


def test_series_differ_in_more_than_colour() -> None:
    domains = [palette.category(index) for index in range(5)]
    assert len({style.symbol for style in domains}) == len(domains)
    windows = [palette.window(index, 3) for index in range(3)]
    assert [style.dash for style in windows] == ["dot", "dash", "solid"]
    assert sorted(windows, key=lambda style: -_luminance(style.colour)) == windows


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of the Web Content Accessibility Guidelines."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
