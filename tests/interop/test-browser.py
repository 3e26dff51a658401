#!/usr/bin/env python3
"""The approval page in a real browser: what a person sees, types and presses. Prints TAP.

Usage: test-browser.py PARLEY
"""
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lifecycle"))
from lifecycle import data, main, test
from page_scene import Scene
from webdriver import ENTER, Chromium


def browser_of(place):
    return Chromium(place.path("chromium"))


def sign_in(browser, link, token):
    browser.open(link)
    browser.write("#token", token + ENTER)
    browser.see("You are ")


@test
def a_person_signs_in_reads_the_plan_and_presses_approve(place):
    with Scene(place) as scene, browser_of(place) as browser:
        plan, link = scene.plan()
        browser.open(link)
        assert browser.evaluate("document.activeElement.id") == "token", "one has to look for the field"
        assert browser.label("#token") == "Token" and "demo" not in browser.words, browser.words
        browser.write("#token", scene.boss + ENTER)
        browser.see(plan)
        browser.see("core:data:value \"a\"")
        assert scene.apply(plan)[0] is None
        browser.press("Approve")
        browser.see("Approved")
        scene.run(plan)
        complaints = browser.complaints()
        assert not complaints, complaints
        browser.ask("POST", "/back")
        browser.ask("POST", "/refresh")
        browser.see("was used")


@test
def a_person_who_refuses_has_refused(place):
    with Scene(place) as scene, browser_of(place) as browser:
        plan, link = scene.plan()
        sign_in(browser, link, scene.boss)
        browser.press("Refuse")
        browser.see("Refused")
        assert scene.apply(plan)[0] is None and scene.entries("refusal")[0]["plan"] == plan


@test
def a_person_types_the_name_of_what_is_destroyed(place):
    with Scene(place) as scene, browser_of(place) as browser:
        plan, link = scene.plan({"a": data(1), "b": data(2)}, "production")
        sign_in(browser, link, scene.boss)
        browser.press("Approve")
        browser.see("Approved")
        scene.run(plan)
        plan, link = scene.plan({"a": data(1)}, "production")
        sign_in(browser, link, scene.boss)
        browser.see("This destroys 1 resource of production")
        assert "type the deployment's name: demo" in browser.label("#name"), browser.label("#name")
        browser.write("#name", "dmeo" + ENTER)
        browser.see("was not typed")
        assert scene.apply(plan)[0] is None
        browser.write("#name", "demo" + ENTER)
        browser.see("Approved")
        scene.run(plan)


@test
def what_a_document_says_is_text_in_a_browser(place):
    with Scene(place) as scene, browser_of(place) as browser:
        hostile = "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
        plan, link = scene.plan({"a": data(1)})
        sign_in(browser, link, scene.boss)
        browser.press("Approve")
        browser.see("Approved")
        scene.run(plan)
        _, link = scene.plan({"a": data(hostile)})
        sign_in(browser, link, scene.boss)
        browser.see(hostile)
        assert browser.evaluate("document.querySelectorAll('script, img, iframe').length") == 0
        assert "taken" not in browser.evaluate("document.title")


@test
def the_page_has_its_style_fits_a_telephone_and_loads_nothing_else(place):
    with Scene(place) as scene, browser_of(place) as browser:
        _, link = scene.plan({"a": data("x" * 500)})
        browser.ask("POST", "/window/rect", width=500, height=800)
        sign_in(browser, link, scene.boss)
        assert browser.evaluate("getComputedStyle(document.querySelector('pre')).whiteSpace") == "pre-wrap"
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it has to be pushed aside"
        assert browser.evaluate("performance.getEntriesByType('resource').length") == 0
        complaints = browser.complaints()
        assert not complaints, complaints


if __name__ == "__main__":
    if not shutil.which("chromedriver") or not shutil.which("chromium"):
        print("1..0 # SKIP there is no chromium, or no chromium-driver")
    else:
        main()
