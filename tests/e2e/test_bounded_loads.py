"""Hashing with a bound on the load of each endpoint."""

import threading

import pytest

from harness import http1
from harness.config import bootstrap, cluster, hcm, listener, route, routes, virtual_host
from harness.waiting import until

POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies"
BOUND = {"hash_balance_factor": 150}


def extension(name, message, **config):
    typed = {"@type": f"{POLICIES}.{name}.v3.{message}", **config}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": name, "typed_config": typed}}]}}


@pytest.mark.parametrize(
    "config",
    [
        {"lb_policy": "RING_HASH", "common_lb_config": {"consistent_hashing_lb_config": BOUND}},
        {"lb_policy": "MAGLEV", "common_lb_config": {"consistent_hashing_lb_config": BOUND}},
        extension("ring_hash", "RingHash", consistent_hashing_lb_config=BOUND),
        extension("ring_hash", "RingHash", **BOUND),
        extension("maglev", "Maglev", consistent_hashing_lb_config=BOUND),
    ],
    ids=["ring", "maglev", "ring by extension", "ring by its old field", "maglev by extension"],
)
def test_an_endpoint_with_too_much_is_passed_over(start, http_upstream, config):
    ups = [http_upstream(f"up-{index}") for index in range(3)]
    hashed = {"cluster": "up", "timeout": "60s", "hash_policy": [{"header": {"header_name": "x-user"}}]}
    front = listener("main", hcm(routes("main", virtual_host("all", ["*"], route("/", hashed)))))
    proxy = start(bootstrap([front], [cluster("up", *[up.port for up in ups], **config)]))
    for up in ups:
        up.answers["/held"] = {"gate": "open"}
    asking = [
        threading.Thread(target=http1.request, args=(proxy.port(),), kwargs={"target": "/held", "headers": [("x-user", "one")]})
        for _ in range(6)
    ]
    for number, one in enumerate(asking, 1):
        one.start()
        until(lambda: sum(len(up.seen) for up in ups) == number, "one request more")
    # Of six, no endpoint has more than its part and a half of it, although all have one hash.
    seen = sorted(len(up.seen) for up in ups)
    assert seen[-1] <= 4 and seen[-2] >= 1
    for up in ups:
        up.open_gate("open")
    for one in asking:
        one.join()
    # With nothing in flight the hash decides again.
    before = [len(up.seen) for up in ups]
    for _ in range(4):
        http1.request(proxy.port(), headers=[("x-user", "one")])
    assert sorted(len(up.seen) - then for up, then in zip(ups, before)) == [0, 0, 4]
