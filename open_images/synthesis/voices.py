"""Recordings of narratives: a tone for each utterance, as long as its words are spoken."""

import importlib.util
import io
from collections.abc import Sequence

import numpy as np

from transforms.errors import UsageError
from transforms.examples.voices.ogg import with_serial

_RATE = 16_000  # Hz
_LOWEST = 220.0  # Hz; each utterance is a whole tone higher, up to an octave
_RAMP_SECONDS = 0.01
_END_SECONDS = 0.3  # after the last word


def check_encoder() -> None:
    """Raises UsageError where nothing can encode recordings."""
    if importlib.util.find_spec("soundfile") is None:
        raise UsageError("--voices: soundfile is missing: pip install soundfile, or drop --voices")


def speak(timed_caption: Sequence[dict], serial: int) -> bytes:
    """Returns an Ogg Vorbis file that sounds while utterances are spoken.

    Args:
      timed_caption: of a narrative.
      serial: number of the stream in the file, 32 bits.
    """
    import soundfile

    end = max((each["end_time"] for each in timed_caption), default=0.0) + _END_SECONDS
    sound = np.zeros(round(end * _RATE), np.float32)
    for number, each in enumerate(timed_caption):
        start, stop = (round(each[name] * _RATE) for name in ("start_time", "end_time"))
        sound[start:stop] += _tone(stop - start, _LOWEST * 2 ** (number % 7 / 6))
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", _RATE, 1, "VORBIS", format="OGG") as encoder:
        for at in range(0, len(sound), _RATE):  # libsndfile has little room for more at once
            encoder.write(sound[at : at + _RATE])
    return with_serial(file.getvalue(), serial)  # it drew one


def _tone(samples: int, frequency: float) -> np.ndarray:
    """Returns a tone that swells and fades, so that it doesn't click."""
    at = np.arange(samples)
    ramp = np.minimum(at, samples - 1 - at) / (_RAMP_SECONDS * _RATE)
    return 0.4 * np.sin(2 * np.pi * frequency * at / _RATE) * np.minimum(ramp, 1)
