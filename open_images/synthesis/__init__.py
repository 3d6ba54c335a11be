"""A synthetic corpus in the formats that Open Images publishes.

`corpus` draws scenes and annotates them, so that annotations agree with pixels; `bulk` generates
annotation tables alone, vectorised, at the published proportions. `layout` has names and headers.
"""
