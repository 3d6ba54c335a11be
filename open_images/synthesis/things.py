"""How things, plants and animals are drawn."""

import math

from open_images.synthesis.colours import DARK, GLASS, LEAF, WOOD, shade
from open_images.synthesis.shapes import Look, Shape, arch, line, oval, poly, rect


def hat(look: Look) -> list[Shape]:
    """A hat with a band."""
    return [
        oval(look.colour, 0.0, 0.62, 1.0, 1.0),
        rect(look.colour, 0.22, 0.0, 0.78, 0.86),
        rect(shade(look.colour, 0.5), 0.22, 0.55, 0.78, 0.76),
    ]


def ball(look: Look) -> list[Shape]:
    """A striped ball."""
    return [
        oval(look.colour, 0.0, 0.0, 1.0, 1.0),
        oval(shade(look.colour, 1.35), 0.3, 0.0, 0.7, 1.0),
        oval((250, 250, 250), 0.2, 0.16, 0.36, 0.32),
    ]


def car(look: Look) -> list[Shape]:
    """A car seen from the side."""
    shapes = [
        poly(look.colour, 0.14, 0.45, 0.29, 0.02, 0.7, 0.02, 0.87, 0.45),
        rect(look.colour, 0.0, 0.38, 1.0, 0.82),
        poly(GLASS, 0.22, 0.4, 0.32, 0.1, 0.47, 0.1, 0.47, 0.4),
        poly(GLASS, 0.51, 0.4, 0.51, 0.1, 0.67, 0.1, 0.79, 0.4),
        oval((255, 240, 150), 0.93, 0.45, 0.99, 0.58),
    ]
    for x in (0.12, 0.68):
        shapes.append(oval(DARK, x, 0.58, x + 0.2, 1.0))
        shapes.append(oval((190, 190, 195), x + 0.055, 0.695, x + 0.145, 0.885))
    return shapes


def tree(look: Look) -> list[Shape]:
    """A leafy tree."""
    return [
        poly(WOOD, 0.44, 0.5, 0.58, 0.5, 0.62, 1.0, 0.39, 1.0),
        oval(look.colour, 0.0, 0.22, 0.62, 0.66),
        oval(shade(look.colour, 0.9), 0.38, 0.2, 1.0, 0.66),
        oval(shade(look.colour, 1.1), 0.17, 0.0, 0.83, 0.48),
    ]


def house(look: Look) -> list[Shape]:
    """A house with a roof, a door and two windows."""
    return [
        rect((150, 80, 66), 0.72, 0.06, 0.83, 0.4),
        rect(look.colour, 0.07, 0.4, 0.93, 1.0),
        poly((165, 66, 54), 0.0, 0.45, 0.5, 0.0, 1.0, 0.45),
        rect(WOOD, 0.42, 0.64, 0.6, 1.0),
        rect(GLASS, 0.15, 0.56, 0.34, 0.76),
        rect(GLASS, 0.67, 0.56, 0.86, 0.76),
    ]


def table(look: Look) -> list[Shape]:
    """A wooden table seen from the front."""
    legs = [rect(shade(look.colour, 0.8), x, 0.08, x + 0.08, 1.0) for x in (0.05, 0.87)]
    return [*legs, rect(look.colour, 0.0, 0.0, 1.0, 0.16)]


def bottle(look: Look) -> list[Shape]:
    """A bottle with a cap and a label."""
    return [
        rect(look.colour, 0.33, 0.06, 0.67, 0.42),
        poly(look.colour, 0.33, 0.28, 0.67, 0.28, 0.95, 0.42, 0.05, 0.42),
        rect(look.colour, 0.02, 0.38, 0.98, 1.0),
        rect(shade(look.colour, 0.5), 0.28, 0.0, 0.72, 0.1),
        rect((250, 250, 245), 0.02, 0.56, 0.98, 0.8),
    ]


def cat(look: Look) -> list[Shape]:
    """A cat looking at the camera, its tail up."""
    dark = shade(look.colour, 0.75)
    shapes = [
        line(look.colour, 0.09, 0.86, 0.7, 0.95, 0.4, 0.92, 0.12),
        oval(look.colour, 0.22, 0.4, 0.94, 0.88),
    ]
    shapes += [rect(dark, x, 0.68, x + 0.11, 1.0) for x in (0.28, 0.45, 0.66, 0.8)]
    shapes += [
        poly(look.colour, 0.03, 0.34, 0.04, 0.02, 0.2, 0.18),
        poly(look.colour, 0.24, 0.18, 0.41, 0.02, 0.41, 0.34),
        oval(look.colour, 0.0, 0.13, 0.44, 0.62),
    ]
    shapes += [oval((120, 200, 90), x, 0.29, x + 0.09, 0.39) for x in (0.09, 0.26)]
    shapes += [oval(DARK, x, 0.3, x + 0.03, 0.38) for x in (0.12, 0.29)]
    return [*shapes, poly((225, 130, 140), 0.19, 0.44, 0.25, 0.44, 0.22, 0.49)]


def flower(look: Look) -> list[Shape]:
    """A flower on its stem."""
    petals = []
    for i in range(6):
        x = 0.5 + 0.28 * math.cos(math.pi * i / 3)
        y = 0.25 + 0.14 * math.sin(math.pi * i / 3)
        petals.append(oval(look.colour, x - 0.21, y - 0.105, x + 0.21, y + 0.105))
    return [
        line(LEAF, 0.05, 0.5, 0.3, 0.5, 1.0),
        oval(LEAF, 0.5, 0.66, 0.95, 0.8),
        *petals,
        oval((250, 200, 60), 0.3, 0.15, 0.7, 0.35),
    ]


def balloon(look: Look) -> list[Shape]:
    """A balloon on a string."""
    return [
        line((90, 90, 90), 0.018, 0.5, 0.6, 0.44, 0.75, 0.55, 0.88, 0.5, 0.99),
        poly(look.colour, 0.5, 0.54, 0.6, 0.63, 0.4, 0.63),
        oval(look.colour, 0.0, 0.0, 1.0, 0.58),
        oval((255, 255, 255), 0.22, 0.1, 0.38, 0.22),
    ]


def boat(look: Look) -> list[Shape]:
    """A sailing boat."""
    return [
        line(WOOD, 0.03, 0.48, 0.03, 0.48, 0.75),
        poly((246, 244, 236), 0.53, 0.04, 0.53, 0.66, 0.95, 0.66),
        poly((226, 224, 216), 0.43, 0.12, 0.43, 0.66, 0.1, 0.66),
        poly(look.colour, 0.0, 0.73, 1.0, 0.73, 0.84, 1.0, 0.16, 1.0),
    ]


def umbrella(look: Look) -> list[Shape]:
    """An open umbrella."""
    return [
        line(DARK, 0.03, 0.5, 0.1, 0.5, 1.0),
        poly(look.colour, *arch(0.42, 0.4)),
        poly(shade(look.colour, 1.25), 0.36, 0.42, 0.5, 0.02, 0.64, 0.42),
    ]


def kite(look: Look) -> list[Shape]:
    """A diamond kite with a tail."""
    return [
        line(DARK, 0.015, 0.5, 0.6, 0.4, 0.72, 0.6, 0.85, 0.5, 0.99),
        poly(look.colour, 0.5, 0.0, 1.0, 0.27, 0.5, 0.64, 0.0, 0.27),
        poly(shade(look.colour, 1.3), 0.5, 0.0, 1.0, 0.27, 0.5, 0.27),
        poly(shade(look.colour, 0.7), 0.5, 0.64, 0.0, 0.27, 0.5, 0.27),
    ]


def street_light(look: Look) -> list[Shape]:
    """A lamp post."""
    return [
        rect(look.colour, 0.4, 0.1, 0.56, 1.0),
        line(look.colour, 0.025, 0.48, 0.1, 0.7, 0.03, 0.85, 0.05),
        oval((255, 235, 150), 0.64, 0.03, 1.0, 0.1),
        rect(look.colour, 0.26, 0.95, 0.7, 1.0),
    ]


def mushroom(look: Look) -> list[Shape]:
    """A spotted mushroom."""
    return [
        rect((240, 228, 205), 0.36, 0.48, 0.64, 1.0),
        poly(look.colour, *arch(0.55, 0.54)),
        oval((250, 250, 250), 0.24, 0.24, 0.38, 0.38),
        oval((250, 250, 250), 0.56, 0.14, 0.74, 0.32),
    ]


def snowman(look: Look) -> list[Shape]:
    """A snowman with a scarf."""
    snow = (248, 250, 253)
    return [
        oval(snow, 0.0, 0.5, 1.0, 1.0),
        oval(snow, 0.13, 0.25, 0.87, 0.66),
        oval(snow, 0.25, 0.0, 0.75, 0.33),
        rect(look.colour, 0.26, 0.28, 0.74, 0.36),
        poly((240, 130, 40), 0.5, 0.15, 0.5, 0.21, 0.82, 0.19),
        oval(DARK, 0.37, 0.09, 0.44, 0.13),
        oval(DARK, 0.56, 0.09, 0.63, 0.13),
    ]


def picture_frame(look: Look) -> list[Shape]:
    """A picture frame with a pale canvas."""
    return [
        rect(look.colour, 0.0, 0.0, 1.0, 1.0),
        rect((236, 232, 214), 0.1, 0.1, 0.9, 0.9),
    ]
