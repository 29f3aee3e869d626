"""Croissant (JSON-LD of MLCommons, version 1.1) for a data set of Parquet files, by config and split.

* the repository is a `FileObject`, the files of a config in it are a `FileSet` (their digests are in the manifest);
* every config is a `RecordSet` with a field for each column, and `split` from the path of the file; a list of records
  is a field with fields of its own;
* one more `RecordSet` lists the splits.

`mlcroissant.Dataset(jsonld, mapping={"repository": folder})` checks it, and reads the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from .folder_release import DataFolder

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
CONTEXT: Mapping[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "arrayShape": "cr:arrayShape", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases", "dataCollection": "cr:dataCollection",
    "equivalentProperty": "cr:equivalentProperty", "rai": "http://mlcommons.org/croissant/RAI/",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isArray": "cr:isArray", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
    "samplingRate": "cr:samplingRate", "sc": "https://schema.org/", "separator": "cr:separator",
    "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
REPOSITORY = "repository"
PARQUET = "application/x-parquet"
_TYPES = {"string": "sc:Text", "int32": "cr:Int32", "int64": "cr:Int64", "float": "cr:Float32",
          "double": "cr:Float64", "bool": "sc:Boolean"}  # fmt: skip


def about_dataset(
    name: str, front: Mapping[str, Any], *, description: str, url: str, version: str, citation: str, published: str
) -> dict[str, Any]:
    """What schema.org wants to know of a data set of this project.

    Args:
        name: name of its repository.
        front: front matter of its card.
        description: one sentence.
        url: its page.
        version: its version.
        citation: how to cite it, as BibTeX.
        published: day of its publication, as 2026-01-31.
    """
    return {
        "name": name,
        "alternateName": [f"archbert/{name}", front["pretty_name"]],
        "description": description,
        "license": "https://spdx.org/licenses/Apache-2.0.html",
        "url": url,
        "version": version,
        "datePublished": published,
        "keywords": front["tags"],
        "inLanguage": front["language"],
        "creator": {"@type": "sc:Organization", "name": "ArchBERT", "url": "https://huggingface.co/archbert"},
        "citeAs": citation,
        "isLiveDataset": False,
    }


def croissant(about: Mapping[str, Any], data: Iterable[DataFolder], descriptions: Mapping[str, str]) -> dict[str, Any]:
    """The metadata of a data set.

    Args:
        about: `name`, `description`, `license`, `url`, `version`, `creator`, `citeAs` and other properties of
            schema.org's Dataset.
        data: folders that hold the configs.
        descriptions: config -> what its rows are.

    Returns:
        JSON-LD.

    Raises:
        ValueError: a column has a type that is not known here.
    """
    distribution = [_repository(about["url"])]
    records: list[dict[str, Any]] = []
    folders = list(data)
    splits = dict.fromkeys(split for folder in folders for names in folder.splits.values() for split in names)
    for folder in folders:
        for config in folder.splits:
            distribution.append(_files(config))
            records.append(_records(folder.schema(config), config, descriptions[config], splits))
    listed = {
        "@type": "cr:RecordSet", "@id": "splits", "name": "splits", "key": {"@id": "splits/name"},
        "description": "The splits of every config.", "dataType": "cr:Split",
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": split} for split in splits],
    }  # fmt: skip
    head = {"@context": dict(CONTEXT), "@type": "sc:Dataset", "conformsTo": CONFORMS_TO}
    return {**head, **about, "distribution": distribution, "recordSet": [listed, *records]}


def _repository(url: str) -> dict[str, Any]:
    # A repository has no digest; this is what stands in its place until the format allows to leave it out.
    return {
        "@type": "cr:FileObject", "@id": REPOSITORY, "name": REPOSITORY, "description": "The repository on the Hub.",
        "contentUrl": f"{url}/tree/main", "encodingFormat": "git+https",
        "sha256": "https://github.com/mlcommons/croissant/issues/80",
    }  # fmt: skip


def _files(config: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet", "@id": f"{config}-files", "name": f"{config}-files", "encodingFormat": PARQUET,
        "containedIn": {"@id": REPOSITORY}, "includes": f"{config}/*.parquet",
        "description": f"The Parquet files of the config {config}.",
    }  # fmt: skip


def _records(schema: pa.Schema, config: str, description: str, splits: Iterable[str]) -> dict[str, Any]:
    files = {"@id": f"{config}-files"}
    split = {
        "@type": "cr:Field", "@id": f"{config}/split", "name": "split", "description": "Split of the row.",
        "dataType": "sc:Text", "references": {"field": {"@id": "splits/name"}},
        "source": {
            "fileSet": files, "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": f"(?:.*{config}/)?({'|'.join(splits)})(?:-.*parquet)?$"},
        },
    }  # fmt: skip
    fields = [_field(column, config, {"fileSet": files, "extract": {"column": column.name}}) for column in schema]
    return {
        "@type": "cr:RecordSet", "@id": config, "name": config, "description": description, "field": [split, *fields],
    }  # fmt: skip


def _field(column: pa.Field, parent: str, source: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{parent}/{column.name}"
    field: dict[str, Any] = {"@type": "cr:Field", "@id": name, "name": column.name}
    kind = column.type
    if pa.types.is_list(kind):
        kind = kind.value_type
        field |= {"isArray": True, "arrayShape": "-1"}
    if pa.types.is_struct(kind):
        inner = [
            _field(one, name, {**source, "transform": {"jsonPath": f"$[*].{one.name}"}})
            for one in (kind.field(index) for index in range(kind.num_fields))
        ]
        return field | {"subField": inner}
    if str(kind) not in _TYPES:
        raise ValueError(f"{name} has the type {kind}; {', '.join(_TYPES)} are known.")
    return field | {"dataType": _TYPES[str(kind)], "source": dict(source)}
