#!/usr/bin/env python3
"""ShopHub on the twin by `parley mcp`, for one who knows only the tools' own words. Prints TAP."""

import pathlib
import sys

sys.dont_write_bytecode = True
import platformlab
from platformlab import EXAMPLES, Platform

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "lifecycle"))
import mcp_client
from mcp_follower import Follower

WISH = "plan what a deployment document says: create, change, remove"


def open_client(platform):
    return mcp_client.Client(platform.command("mcp"), platform.environment(), str(platform.folder))


def a_blind_follower_gets_from_an_empty_store_to_shophub_applied():
    with Platform((EXAMPLES / "shophub.yaml").read_text()) as platform:
        with open_client(platform) as client:
            follower = Follower(client, WISH, platform.text, "shophub-platform")
            last = follower.go()
            assert [(row["name"], row["state"]) for row in last["deployments"]] == [("shophub-platform", "done")], last
            assert not any(failed for _, arguments, failed in follower.made if arguments), follower.made
            status = client.call("deployment_status", deployment="shophub-platform")
            assert all(item["state"] == "created" for item in status["resources"]), status
            logs = client.call("log_show", name="shophub-db-0", tail=2000)
            assert any("ready to accept connections" in line["text"] for line in logs["lines"]), logs
            assert not client.call("deployment_drift")["deployments"][0]["drifted"]
            gone = client.call("plan_destroy", deployment="shophub-platform")
            client.call("plan_approve", plan=gone["plan"], confirm="shophub-platform")
            run = client.call("plan_apply", plan=gone["plan"])["run"]
            assert client.call("run_show", run=run, wait_seconds=300)["status"] == "done"
        assert not [row for row in platform.answer("status") if row["state"] != "destroyed"]


platformlab.run([a_blind_follower_gets_from_an_empty_store_to_shophub_applied])
