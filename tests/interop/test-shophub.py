#!/usr/bin/env python3
"""ShopHub on the twin, by the official Python SDK's client in both eras. Prints TAP.

Usage: test-shophub.py PARLEY-TWIN
"""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration/platform"))
import platformlab
from platformlab import EXAMPLES, Platform

import others
from sdk import PythonClient


def drive(folder, mode):
    """From the document to what stands, is healthy and goes again."""
    with Platform((EXAMPLES / "shophub.yaml").read_text()) as platform:
        with PythonClient(folder, str(platform.folder), mode, platform.command("mcp"), platform.environment()) as client:
            def apply(plan, **confirm):
                client.call("plan_approve", {"plan": plan["plan"], **confirm})
                run = client.call("plan_apply", {"plan": plan["plan"]})["run"]
                ended = client.call("run_show", {"run": run, "wait_seconds": 300})
                assert ended["status"] == "done", ended
            plan = client.call("plan_create", {"document": platform.text})
            assert plan["counts"]["create"] > 10, plan["counts"]
            apply(plan)
            status = client.call("deployment_status", {"deployment": "shophub-platform"})
            assert all(row["state"] == "created" for row in status["resources"]), status
            lines = client.call("log_show", {"name": "shophub-db-0", "tail": 2000})["lines"]
            assert any("ready to accept connections" in line["text"] for line in lines), lines[-5:]
            again = client.call("plan_create", {"document": platform.text})
            assert not again["changes"], again
            apply(client.call("plan_destroy", {"deployment": "shophub-platform"}), confirm="shophub-platform")
            left = client.call("deployment_status", {})["deployments"]
            assert [row["state"] for row in left] == ["destroyed"], left


def main():
    try:
        folder = others.prepare()
    except others.Skip as reason:
        print(f"1..0 # SKIP {reason}")
        return

    def the_python_sdk_takes_shophub_from_its_document_to_nothing_in_the_modern_era():
        drive(folder, "2026-07-28")

    def the_python_sdk_takes_shophub_from_its_document_to_nothing_in_the_legacy_era():
        drive(folder, "legacy")
    platformlab.run([the_python_sdk_takes_shophub_from_its_document_to_nothing_in_the_modern_era,
                     the_python_sdk_takes_shophub_from_its_document_to_nothing_in_the_legacy_era])


if __name__ == "__main__":
    main()
