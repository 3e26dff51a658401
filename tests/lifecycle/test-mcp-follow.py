#!/usr/bin/env python3
"""`parley mcp`: who knows only the tools' own words gets from nothing to what stands, by what the answers say."""
import mcp_client
from lifecycle import box, document, main, test
from mcp_follower import Follower

WISH = "plan what a deployment document says: create, change, remove"
SHOP = document("shop", {"web": box(size=1, colour="red", lid="store"), "store": box(size=2)})


def open_client(place):
    return mcp_client.Client(place.line("mcp"), place.env, place.folder)


def follow(place, text, **options):
    place.with_boxes()
    with open_client(place) as client:
        follower = Follower(client, WISH, text, "shop", **options)
        return follower.go(), follower.made


def check_shop_stands(place, last):
    assert [(row["name"], row["state"]) for row in last["deployments"]] == [("shop", "done")], last
    assert sorted(item["spec"]["size"] for item in place.files().values()) == [1, 2]


@test
def a_blind_follower_gets_from_nothing_to_what_stands(place):
    last, made = follow(place, SHOP)
    check_shop_stands(place, last)
    assert len(made) <= 7, made


@test
def a_follower_mends_its_document_as_the_faults_say(place):
    wrong = SHOP.replace("acme:thing:box", "acme:thing:bxo", 1)
    assert wrong != SHOP
    last, made = follow(place, wrong)
    check_shop_stands(place, last)
    assert sum(failed for _, _, failed in made) == 2, made


@test
def a_follower_that_would_apply_at_once_is_led_to_the_approval(place):
    last, made = follow(place, SHOP, is_hasty=True)
    check_shop_stands(place, last)
    names = [name for name, _, _ in made]
    refused = names.index("plan_apply")
    assert made[refused][2] and names[refused + 1:refused + 3] == ["plan_approve", "plan_apply"], made


@test
def a_typed_name_is_asked_for_where_a_removal_needs_it(place):
    text = SHOP.replace("  resources:", "  environment: production\n  resources:")
    check_shop_stands(place, follow(place, text)[0])
    with open_client(place) as client:
        plan = client.call("plan_destroy", deployment="shop")
        assert plan["needs_name"], plan
        said = client.call("plan_approve", is_error=True, plan=plan["plan"])
        assert 'Here "--confirm" is the argument confirm of plan_approve.' in said, said
        assert f'plan_approve with plan="{plan["plan"]}" and confirm=' in said, said


@test
def words_of_the_command_line_are_followed_by_the_tool_that_is_meant(place):
    check_shop_stands(place, follow(place, SHOP)[0])
    with open_client(place) as client:
        for tool, arguments, hint in (
                ("deployment_status", {"deployment": "nope"}, 'Here "parley status" is the tool deployment_status.'),
                ("run_show", {"run": "abcdef"}, 'Here "parley run list" is the tool deployment_history.'),
                ("plan_undo", {"deployment": "shop"}, 'Here "parley destroy" is the tool plan_destroy.')):
            said = client.call(tool, is_error=True, **arguments)
            assert hint in said, said


if __name__ == "__main__":
    main()
