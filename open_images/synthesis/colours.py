"""Named colours, so that a narrative can say what a picture shows."""

RGB = tuple[int, int, int]

NAMED: dict[str, RGB] = {
    "red": (205, 45, 45),
    "blue": (45, 85, 200),
    "green": (50, 150, 65),
    "yellow": (240, 205, 50),
    "orange": (240, 135, 40),
    "purple": (130, 60, 165),
    "pink": (240, 130, 175),
    "white": (240, 240, 238),
    "black": (45, 45, 48),
    "grey": (140, 142, 146),
    "brown": (135, 88, 52),
}
BRIGHT = ("red", "blue", "yellow", "orange", "purple", "pink", "white")

GLASS: RGB = (178, 215, 235)
DARK: RGB = (42, 42, 46)
WOOD: RGB = (150, 100, 60)
LEAF: RGB = (60, 140, 62)

SKINS: tuple[RGB, ...] = ((247, 214, 184), (224, 172, 130), (168, 115, 78), (110, 72, 50))
HAIRS: tuple[RGB, ...] = ((40, 30, 26), (98, 62, 36), (196, 152, 80), (150, 150, 152))


def shade(colour: RGB, factor: float) -> RGB:
    """`colour` darkened (factor below 1) or lightened (above 1)."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue
