"""Documents of N resources in several shapes, for Parley and, the same graph, for Terraform.

tree    resource i refers to resource (i-1)/2
chains  resource i refers to resource i-100: a hundred chains
count   one block with count: N
fan     one resource that all others refer to
groups  three counted groups, each of whose members depends on all of the group before
"""


def parents(shape, i):
    """The number of the one resource that resource i refers to, or None."""
    parent = {"tree": (i - 1) // 2, "chains": i - 100, "fan": 0}[shape]
    return parent if i > 0 and parent >= 0 else None


def document(shape, n):
    """Yields the lines of the document; each resource is written out, but where the shape is a count."""
    yield f"deployment:\n  name: bench-{shape}\n  resources:\n"
    if shape == "count":
        yield block("r", "v${count.index}", f"      count: {n}\n")
    elif shape == "groups":
        for group, before in (("a", None), ("b", "a"), ("c", "b")):
            needs = f"      dependsOn: [{before}]\n" if before else ""
            yield block(group, "v${count.index}", f"      count: {n // 3}\n{needs}")
    else:
        for i in range(n):
            parent = parents(shape, i)
            yield block(f"r{i}", f"v{i}" if parent is None else f"v{i}-${{r{parent}.id}}")


def block(name, value, further=""):
    return (f"    - type: core:data:value\n      name: {name}\n{further}"
            f"      properties: {{ value: \"{value}\" }}\n")


def terraform(shape, n):
    """Yields the text of a main.tf; None of groups, which would be other work there."""
    if shape == "count":
        yield f'resource "terraform_data" "r" {{\n  count = {n}\n  input = "v${{count.index}}"\n}}\n'
        return
    for i in range(n):
        parent = parents(shape, i)
        reference = "" if parent is None else f"-${{terraform_data.r{parent}.id}}"
        yield f'resource "terraform_data" "r{i}" {{\n  input = "v{i}{reference}"\n}}\n'


SHAPES = ("tree", "chains", "count", "fan", "groups")
FOR_TERRAFORM = ("tree", "chains", "count", "fan")
