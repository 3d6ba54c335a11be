"""How people are drawn."""

import math

from open_images.synthesis.colours import DARK, HAIRS, SKINS, shade
from open_images.synthesis.shapes import Look, Shape, line, oval, poly, rect


def person(look: Look, *, dress: bool, child: bool) -> list[Shape]:
    """A standing person; the right hand, at (0.92, 0.44), is free to hold something."""
    skin, hair = SKINS[look.variant % 4], HAIRS[look.variant // 4 % 4]
    head_low = 0.32 if child else 0.26
    trousers = skin if child else shade(look.colour, 0.5)
    eye = 0.46 * head_low
    shapes = []
    if dress:
        shapes.append(oval(hair, 0.2, 0.0, 0.72, head_low + 0.08))
    for x in (0.3, 0.5):
        shapes.append(rect(skin if dress else trousers, x, 0.6, x + 0.13, 0.96))
        shapes.append(oval(DARK, x - 0.05, 0.93, x + 0.17, 1.0))
    if dress:
        shapes.append(poly(look.colour, 0.32, 0.27, 0.6, 0.27, 0.85, 0.74, 0.07, 0.74))
    else:
        if child:
            shapes.append(rect(shade(look.colour, 0.6), 0.26, 0.56, 0.67, 0.75))
        shapes.append(rect(look.colour, 0.23, 0.27, 0.69, 0.64))
    shapes += [
        line(look.colour, 0.05, 0.29, 0.33, 0.13, 0.55),
        oval(skin, 0.05, 0.53, 0.19, 0.6),
        line(look.colour, 0.05, 0.63, 0.33, 0.86, 0.44),
        oval(skin, 0.82, 0.405, 0.98, 0.475),
        oval(skin, 0.27, 0.02, 0.65, head_low),
        poly(hair, 0.27, eye - 0.03, 0.3, 0.03, 0.46, 0.0, 0.62, 0.03, 0.65, eye - 0.03),
        oval(DARK, 0.36, eye, 0.41, eye + 0.02),
        oval(DARK, 0.51, eye, 0.56, eye + 0.02),
    ]
    mouth = head_low - 0.07
    curve = [(0.38 + 0.02 * i, mouth + 0.025 * math.sin(math.pi * i / 8)) for i in range(9)]
    flat = (0.4, mouth, 0.52, mouth)
    xy = tuple(value for point in curve for value in point) if look.smile else flat
    return [*shapes, line((150, 50, 50), 0.008, *xy)]


def man(look: Look) -> list[Shape]:
    """A man in shirt and trousers."""
    return person(look, dress=False, child=False)


def woman(look: Look) -> list[Shape]:
    """A woman with long hair in a dress."""
    return person(look, dress=True, child=False)


def boy(look: Look) -> list[Shape]:
    """A boy in shirt and shorts."""
    return person(look, dress=False, child=True)


def girl(look: Look) -> list[Shape]:
    """A girl in a dress."""
    return person(look, dress=True, child=True)
