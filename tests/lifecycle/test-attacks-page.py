#!/usr/bin/env python3
"""Attacks on the approval page of a server that runs as a user of its own, at the level separated."""
import page_attacks
from approval_page import Browser
from attack_scene import Scene
from lifecycle import main, test, wait_until


@test
def at_separated_no_attack_on_the_page_has_an_effect(place):
    scene = Scene(place, "site: { approval: separated }\n")
    assert len(page_attacks.ATTACKS) >= 15
    with scene.server:
        scene.try_all(page_attacks.ATTACKS)
        browser = page_attacks.signed_in(scene, scene.boss)
        assert "Approved" in browser.decide("approve").words
        scene.show_that_it_would_have_had_an_effect()


@test
def a_link_that_is_over_opens_nothing(place):
    """Also for who signed in while it was good."""
    scene = Scene(place, "site: { approval: { level: separated, expires: 3s } }\n")
    with scene.server:
        browser = page_attacks.signed_in(scene, scene.boss)
        form = browser.get().form
        wait_until(lambda: browser.get().status == 410, "the link is over")
        page_attacks.yes(browser, form, 410)
        assert Browser(scene.server, browser.path).sign_in(scene.boss).status == 410
        assert not scene.apply() and not scene.has_effect()


if __name__ == "__main__":
    main()
