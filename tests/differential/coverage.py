"""Which fields a bootstrap sets, by descriptors, and which the field table promises to honour."""

import importlib
import json
import re
import tomllib
from functools import cache
from pathlib import Path

import envoy.config.bootstrap.v3 as bootstrap_package
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory

from harness.proxy import ROOT

TABLE = ROOT / "proto" / "fields.toml"
PACKAGES = Path(bootstrap_package.__path__[0]).parents[3]


@cache
def message(name):
    """The class of the message with that full name."""
    folder = PACKAGES.joinpath(*name.split(".")[:-1])
    while not folder.is_dir():
        folder = folder.parent
    for path in sorted(folder.glob("*_pb2.py")):
        importlib.import_module(".".join(path.with_suffix("").relative_to(PACKAGES).parts))
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def honoured():
    """Every field that the table honours, as `message.field`; what a row says for all fields, one by one."""
    found = {}
    for name, rows in tomllib.loads(TABLE.read_text())["message"].items():
        for field in {field.name for field in message(name).DESCRIPTOR.fields} if "*" in rows else rows:
            row = rows.get(field, rows.get("*", {}))
            if "honour" in row:
                found[f"{name}.{field}"] = row["honour"]
    return found


def parsed(bootstrap):
    """A bootstrap as a message."""
    for name in re.findall(r'"@type": "type\.googleapis\.com/([\w.]+)"', json.dumps(bootstrap)):
        message(name)
    # The descriptors for Python are a little older than Envoy.
    return json_format.ParseDict(bootstrap, message("envoy.config.bootstrap.v3.Bootstrap")(), ignore_unknown_fields=True)


def fields_of(bootstrap):
    """Every field that is set anywhere in a bootstrap, inside of typed configurations too."""
    found = set()
    _walk(parsed(bootstrap), found)
    return found


def _walk(value, found):
    if isinstance(value, any_pb2.Any) and not value.type_url:
        return None  # says no more than that it is there
    if isinstance(value, any_pb2.Any):
        inner = message(value.TypeName())()
        value.Unpack(inner)
        return _walk(inner, found)
    for field, part in value.ListFields():
        found.add(f"{value.DESCRIPTOR.full_name}.{field.name}")
        for each in _messages(field, part):
            _walk(each, found)


def _messages(field, part):
    if field.message_type is None:
        return []
    if field.message_type.GetOptions().map_entry:
        return [each for each in part.values() if hasattr(each, "ListFields")]
    return part if field.is_repeated else [part]
