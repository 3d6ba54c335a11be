"""The one home of the project's metadata: remote workers install from it."""

from pathlib import Path

from setuptools import find_packages, setup

VERSION: dict[str, str] = {}
exec(Path(__file__).with_name("open_images").joinpath("version.py").read_text(), VERSION)

setup(
    name="open-images-beam",
    version=VERSION["__version__"],
    description="Open Images as a dataset: annotations and pixels joined, in TFRecord and Parquet",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["open_images*", "pipelines*", "runners*", "transforms*"]),
    entry_points={"console_scripts": ["open-images = pipelines.cli.command:main"]},
    package_data={
        "open_images": ["py.typed"],
        "open_images.downloading.catalogue": ["*"],
        "open_images.evaluating": ["page.html"],
        "runners": ["flink/jars.txt", "flink/start_worker", "kubernetes/*", "schedules/*"],
        "open_images.synthesis.vocabulary": ["*"],
    },
    install_requires=[
        "apache-beam>=2.77,<3",
        "boto3>=1.40,<2",
        "faster-coco-eval>=1.8,<2",
        "google-crc32c>=1.5,<2",
        "certifi>=2024.7",
        "isal>=1.7,<2",
        "jinja2>=3.1,<4",
        "matplotlib>=3.9,<4",
        "numpy>=2,<3",
        "opencv-python-headless>=4.10,<6",
        "pillow>=11,<13",
        "obstore>=0.12,<0.13",
        "prometheus-client>=0.22,<1",
        "pyarrow>=25,<26",
        "pycocotools>=2.0.8,<3",
        "pycurl>=7.47,<8",
        "simplejpeg>=1.8,<2",
        "tqdm>=4.66,<5",
        "xxhash>=3.5,<5",
    ],
    extras_require={
        # Peers of the benchmarks, besides those that tests need too.
        "bench": ["chdb>=4.4,<5"],
        # What submits jobs to Dataflow; `build` makes the package that its workers install.
        "dataflow": ["apache-beam[gcp]>=2.77,<3", "build>=1.2,<2", "setuptools>=69"],
        "docs": [
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.6,<10",
            "mkdocstrings[python]>=1,<2",
        ],
        # Reads what was written; workers don't need it.
        "tensorflow": [
            "tensorflow-cpu>=2.20,<2.22",
            "tensorflow-datasets>=4.9.9,<4.10",
            "importlib_resources",  # which tensorflow-datasets imports and doesn't ask for
        ],
        # Decodes recordings for --verify_voices, and encodes those of synthesize.
        "voices": ["soundfile>=0.12.1,<1"],
        "test": [
            "datasets>=4,<6",
            "duckdb>=1.4,<3",
            "hypothesis>=6.100,<7",
            "import-linter>=2.3,<3",
            "ipykernel>=6.29,<8",
            "jsonschema>=4.18,<5",
            "nbclient>=0.10,<1",
            "pandas>=2,<4",
            "polars>=1,<2",
            "psutil>=6,<8",
            "pyrefly>=1.5,<1.6",
            "pytest>=8,<10",
            "pytest-timeout>=2.3,<3",
            "pytest-xdist>=3.6,<4",
            "pyyaml>=6,<7",
            "ruff>=0.12,<1",
            "setuptools>=70.1",  # which builds what a test installs
        ],
    },
)
