"""libcurl, through pycurl, whatever else the process has loaded.

TensorFlow's libraries export an older libcurl, with which pycurl refuses to be imported. So pycurl
is bound to its own.
"""

import os
import sys

_flags = sys.getdlopenflags()
sys.setdlopenflags(_flags | getattr(os, "RTLD_DEEPBIND", 0))  # glibc's
try:
    import pycurl
finally:
    sys.setdlopenflags(_flags)

__all__ = ["pycurl"]
