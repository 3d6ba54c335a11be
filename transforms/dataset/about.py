"""Facts about Open Images that documents for readers repeat."""

HOMEPAGE = "https://storage.googleapis.com/openimages/web/index.html"
#: Of the annotations, by Google LLC, and of the pictures, by their authors.
LICENSES = (
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by/2.0/",
)

CITATION = """\
@article{kuznetsova2020open,
  title = {The Open Images Dataset V4: Unified Image Classification, Object Detection, and Visual
           Relationship Detection at Scale},
  author = {Kuznetsova, Alina and Rom, Hassan and Alldrin, Neil and Uijlings, Jasper and
            Krasin, Ivan and Pont-Tuset, Jordi and Kamali, Shahab and Popov, Stefan and
            Malloci, Matteo and Kolesnikov, Alexander and Duerig, Tom and Ferrari, Vittorio},
  journal = {International Journal of Computer Vision},
  volume = {128},
  pages = {1956--1981},
  year = {2020},
  doi = {10.1007/s11263-020-01316-z},
}"""
