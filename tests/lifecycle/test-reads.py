#!/usr/bin/env python3
"""What one deployment reads of another: values, resources, and what may not be removed meanwhile."""
from lifecycle import agree, box, data, document, main, steps, test


def up(place, name, resources, want=0, **options):
    place.write(f"{name}.yaml", document(name, resources, **options))
    return place.parley("up", f"{name}.yaml", "--yes", want=want)


def plan(place, name):
    return place.parley("plan", f"{name}.yaml", "--json").json()


READS = {"one": data("${deployment:base/net.outputs.value}-x")}


@test
def a_value_of_another_deployment_is_read_and_written_down(place):
    up(place, "base", {"net": data("first")})
    place.write("app.yaml", document("app", READS))
    made = plan(place, "app")
    assert made["steps"][0]["after"]["value"] == "first-x"
    read = made["reads"]["base@default"]
    assert read["values"] == {"net.value": "first"} and read["revision"] == 1, read
    up(place, "app", READS)
    assert place.records("app")[0]["spec"]["value"] == "first-x"
    place.parley("plan", "app.yaml", "--detailed-exitcode", want=0)


@test
def what_changes_there_is_a_change_here(place):
    up(place, "base", {"net": data("first")})
    up(place, "app", READS)
    up(place, "base", {"net": data("second")})
    made = plan(place, "app")
    assert steps(made) == ["update one"] and made["reads"]["base@default"]["revision"] == 2
    up(place, "app", READS)
    assert place.records("app")[0]["spec"]["value"] == "second-x"


@test
def a_plan_that_read_what_is_no_more_so_is_refused(place):
    up(place, "base", {"net": data("first")})
    place.write("app.yaml", document("app", READS))
    place.parley("plan", "app.yaml", "-o", "saved.plan")
    up(place, "base", {"net": data("second")})
    result = place.parley("apply", "saved.plan", "--yes", want=1)
    assert "plan again" in result.err and "reads" in result.err, result.err
    assert place.parley("show", "app", "--json", want=None).out.strip() in ("", "[]") or \
        place.records("app") == []


@test
def who_reads_is_named_when_it_is_to_be_destroyed(place):
    up(place, "base", {"net": data("first"), "other": data("x")})
    up(place, "app", READS)
    result = place.parley("destroy", "base", "--yes", want=1)
    assert "error[in-use]" in result.err and "app@default reads net.value of base" in result.err
    assert len(place.records("base")) == 2
    up(place, "base", {"other": data("x")}, want=1)
    up(place, "base", {"net": data("first")})
    place.parley("destroy", "app", "--yes")
    place.parley("destroy", "base", "--yes")


@test
def who_reads_no_more_is_in_nobodys_way(place):
    up(place, "base", {"net": data("first")})
    up(place, "app", READS)
    up(place, "app", {"one": data("mine")})
    place.parley("destroy", "base", "--yes")


@test
def what_is_not_there_is_a_fault_with_its_place(place):
    up(place, "base", {"net": data("first")})
    for word, said in (("nobase/net.outputs.value", 'no deployment "nobase"'),
                       ("base/not.outputs.value", 'no resource "not"'),
                       ("base/net.outputs.nothing", 'no output "nothing"'),
                       ("base/net", "name an output"), ("base", "name an output")):
        place.write("app.yaml", document("app", {"one": data("${deployment:%s}" % word)}))
        result = place.parley("plan", "app.yaml", want=1)
        assert "app.yaml:4:" in result.err and said in result.err, (word, result.err)


@test
def without_a_store_a_reference_is_a_fault_and_none_is_made(place):
    place.write("app.yaml", document("app", READS))
    result = place.parley("validate", "app.yaml", want=1)
    assert 'no deployment "base"' in result.err, result.err


@test
def the_same_environment_is_read_and_else_the_only_one(place):
    up(place, "base", {"net": data("plain")})
    up(place, "app", READS, environment="staging")
    assert place.records("app@staging")[0]["spec"]["value"] == "plain-x"
    up(place, "base", {"net": data("staged")}, environment="staging")
    up(place, "app", READS, environment="staging")
    assert place.records("app@staging")[0]["spec"]["value"] == "staged-x"
    place.write("app.yaml", document("app", READS, environment="third"))
    assert "several environments" in place.parley("plan", "app.yaml", want=1).err


@test
def what_is_read_may_decide_a_count(place):
    up(place, "base", {"net": data(2)})
    up(place, "app", {"one": data("x", count="${deployment:base/net.outputs.value}")})
    assert len(place.records("app")) == 2


@test
def one_of_several_is_read_by_its_key(place):
    up(place, "base", {"net": data("${each.key}", forEach=["a", "b"])})
    up(place, "app", {"one": data('${deployment:base/net["b"].outputs.value}')})
    assert place.records("app")[0]["spec"]["value"] == "b"


@test
def who_reads_one_of_several_is_named_when_just_that_goes(place):
    up(place, "base", {"net": data("${each.key}", forEach=["a.b", "c"])})
    up(place, "app", {"one": data('${deployment:base/net["a.b"].outputs.value}')})
    up(place, "base", {"net": data("${each.key}", forEach=["a.b"])})
    result = up(place, "base", {"net": data("${each.key}", forEach=["c"])}, want=1)
    assert 'app@default reads net["a.b"].value of base' in result.err, result.err


@test
def what_exists_for_another_is_not_removed_under_it(place):
    place.with_boxes()
    up(place, "base", {"a": box(colour="red"), "b": box()})
    app = {"a": ("acme:thing:box", {}, {"existing": True, "match": {"name": "a", "deployment": "base"}}),
           "mine": box(lid="a")}
    up(place, "app", app)
    assert list(plan(place, "app")["reads"]["base@default"]["values"]) == ["a"]
    result = place.parley("destroy", "base", "--yes", want=1)
    assert "app@default reads a of base" in result.err, result.err
    up(place, "base", {"a": box(colour="red")})
    place.parley("destroy", "app", "--yes")
    place.parley("destroy", "base", "--yes")
    assert place.files() == {}


@test
def what_exists_and_is_made_anew_moves_who_refers_to_it(place):
    place.with_boxes()
    up(place, "base", {"a": box(size=1)})
    app = {"a": ("acme:thing:box", {}, {"existing": True, "match": {"name": "a", "deployment": "base"}}),
           "mine": box(lid="a")}
    up(place, "app", app)
    place.parley("plan", "app.yaml", "--detailed-exitcode", want=0)
    up(place, "base", {"a": box(size=2)})
    made = plan(place, "app")
    assert steps(made) == ["update mine"] and made["steps"][0]["reason"] == "moved", made["steps"]
    up(place, "app", app)
    place.parley("plan", "app.yaml", "--detailed-exitcode", want=0)
    assert len(place.files()) == 2


if __name__ == "__main__":
    main()
