"""Somebody who knows nothing of Parley: it has the tools' own words (tools/list), a document that a person gave, and
what the answers say. It calls what a `Next:` line names, with the arguments that stand there, and mends a document as
the faults say. No tool is named here: the first one is found by what the person wants."""
import re

MOST_CALLS = 40


class Follower:
    def __init__(self, client, wish, document, typed_name, is_hasty=False):
        self.client, self.document, self.typed_name, self.is_hasty = client, document, typed_name, is_hasty
        self.tools = {tool["name"]: tool for tool in client.tools()}
        self.first = self.find_tool(wish)
        self.made = []  # every call: (tool, arguments, whether it failed)

    def find_tool(self, wish):
        """The tool whose words have most of the person's."""
        def fit(tool):
            words = set(re.findall(r"\w+", (tool["title"] + " " + tool["description"]).lower()))
            return sum(word in words for word in wish.lower().split())
        return max(self.tools.values(), key=fit)["name"]

    def fill(self, name, said):
        """Arguments: those that were said, and what the person gave where a description asks for it."""
        arguments = {}
        for field, schema in self.tools[name]["inputSchema"]["properties"].items():
            if field in said:
                value = said[field]
                arguments[field] = int(value) if schema["type"] == "integer" else value
        return arguments

    def call(self, name, arguments):
        assert len(self.made) < MOST_CALLS, self.made
        result = self.client.result(name, arguments)
        self.made.append((name, sorted(arguments), result["isError"]))
        return result

    def next_calls(self, text):
        """What the last `Next:` line names: (tool, arguments as they were said) in its order."""
        lines = re.findall(r"Next: (.*)", text)
        if not lines:
            return []
        line = lines[-1]
        found = sorted((match.start(), name) for name in self.tools
                       for match in re.finditer(rf"\b{name}\b", line))
        calls = []
        for i, (start, name) in enumerate(found):
            part = line[start:found[i + 1][0] if i + 1 < len(found) else len(line)]
            said = {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\w+))', part)}
            if "with the same" in part and calls:
                said = calls[-1][1]
            if said.get("confirm"):  # It says whose words must stand there.
                said["confirm"] = self.typed_name
            calls.append((name, said))
        return calls

    def mend(self, text):
        """What a fault quotes and the document has becomes what its help quotes; whether there was such a fault."""
        for fault, advice in re.findall(r"^  (\S.*)\n  help: (.*)", text, re.MULTILINE):
            wrong = [word for word in re.findall(r'"([^"]+)"', fault) if word in self.document]
            right = re.findall(r'"([^"]+)"', advice)
            if wrong and right:
                self.document = self.document.replace(wrong[0], right[0])
                return True
        return False

    def give_document(self, name, text):
        """Arguments that a failure asks for and a description explains: the document itself."""
        fields = self.tools[name]["inputSchema"]["properties"]
        asked = [field for field in fields if re.search(rf"\b{field}\b", text)]
        asked = [field for field in asked if "YAML text" in fields[field]["description"]]
        return {asked[0]: self.document} if asked else None

    def go(self):
        """Follows until a `Next:` line leads nowhere new; returns the last structured result."""
        name, arguments = self.first, {}
        while True:
            result = self.call(name, arguments)
            text = "\n".join(item["text"] for item in result["content"])
            if result["isError"] and name == self.first:
                if self.mend(text) or not arguments:
                    arguments = self.give_document(name, text) or {key: self.document for key in arguments}
                    assert arguments, text
                    continue
            steps = self.next_calls(text)
            if not steps:
                assert not result["isError"], text
                return result["structuredContent"]
            name, said = steps[-1 if self.is_hasty and len(steps) > 1 and not result["isError"] else 0]
            said = said | {"plan": said.get("plan") or self.hash_of(result)}
            arguments = self.fill(name, said)

    @staticmethod
    def hash_of(result):
        return result.get("structuredContent", {}).get("plan", "")
