"""What proxies are sent, as a bootstrap that `--mode validate` is asked about."""

import copy
import json

from harness.process import run
from harness.proxy import binary


class Bootstrap:
    """What several nodes are sent, side by side as static resources of one bootstrap."""

    def __init__(self):
        self._listeners, self._clusters = [], []

    def add(self, index, view):
        self._index = index
        for cluster in view["clusters"].values():
            self._clusters.append(self._static(self._renamed(cluster), view["endpoints"]))
        for name, listener in view["listeners"].items():
            listener = self._renamed(listener) | {"name": f"{index}/{name}"}
            # One address each, as each node has its own; validation binds none of them.
            socket = {"address": "127.0.0.1", "port_value": 1024 + len(self._listeners)}
            listener["address"] = {"socket_address": socket}
            for chain in listener["filter_chains"]:
                for one in chain["filters"]:
                    self._inline(one["typed_config"], view["routes"])
            self._listeners.append(listener)

    def _name(self, name):
        return f"{self._index}/{name}"

    def _renamed(self, value):
        """A copy in which clusters are those of this node."""
        if isinstance(value, list):
            return [self._renamed(item) for item in value]
        if not isinstance(value, dict):
            return value
        made = {key: self._renamed(item) for key, item in value.items()}
        for key in ("cluster", "cluster_name"):
            if isinstance(made.get(key), str):
                made[key] = self._name(made[key])
        for weighted in made.get("weighted_clusters", {}).get("clusters", []):
            weighted["name"] = self._name(weighted["name"])
        return made

    def _static(self, cluster, endpoints):
        name = cluster["name"]
        cluster["name"] = self._name(name)
        if cluster.get("type") == "EDS":
            cluster["type"] = "STATIC"
            found_by = cluster.pop("eds_cluster_config").get("service_name", name)
            cluster["load_assignment"] = without_type(self._renamed(endpoints[found_by]))
        return without_type(cluster)

    def _inline(self, config, routes):
        if rds := config.pop("rds", None):
            config["route_config"] = without_type(self._renamed(routes[rds["route_config_name"]]))

    def text(self, own=True):
        """The bootstrap; without `own` types, which Envoy steps over in a protobuf and cannot read in JSON."""
        listeners = [without_type(listener) for listener in self._listeners]
        made = {"static_resources": {"listeners": listeners, "clusters": self._clusters}}
        return json.dumps(made if own else _stepped_over(made))


#: Where a message may hold one of a type that is only ours, next to others or in the place of none.
MAPS = {"typed_filter_metadata", "typed_per_filter_config"}
LISTS = {"policies", "http_filters"}


def _stepped_over(value):
    """What is left without the types that only we know: Envoy takes the next of a list, and leaves out the rest."""
    if isinstance(value, list):
        return [_stepped_over(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in value.items():
        if key in MAPS:
            item = {name: one for name, one in item.items() if not _is_own(one)}
        elif key in LISTS:
            item = [one for one in item if not _is_own(one)]
        made[key] = _stepped_over(item)
    return made


def _is_own(message):
    """Whether the message, or the one that it wraps, is of a type of ours."""
    if "/weft." in message.get("@type", ""):
        return True
    wrapped = (message.get(key) for key in ("config", "typed_config", "typed_extension_config"))
    return any(_is_own(one) for one in wrapped if isinstance(one, dict))


def without_type(message):
    message = copy.copy(message)
    message.pop("@type", None)
    return message


def refusal(program, bootstrap, directory):
    """What the program says against a bootstrap; empty when it takes it."""
    path = directory / "bootstrap.json"
    path.write_text(bootstrap.text(own=not program.startswith("envoy")))
    arguments = ["--mode", "validate", "-c", path, "-l", "error"]
    outcome = run([binary(program), *arguments], directory, deadline=200)
    return "" if outcome.returncode == 0 else outcome.stderr + outcome.stdout
