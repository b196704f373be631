"""Makes Pydantic models of the gateway's events: python3 make_models.py [--pydantic 1] < events.schema.json > events.py

It knows the keywords that the gateway's schemas consist of and stops at any other, so that no model says less than its
schema. Needs nothing but Python 3.9 or later.
"""

import argparse
import json
import sys

HEAD = '''"""Pydantic {version} models of the gateway's events. Made by make_models.py of events.schema.json; do not edit."""

from typing import {typing}

from pydantic import {pydantic}


class Event(BaseModel, extra="forbid"):
    """The data of an event. A field that its schema does not name is refused, as a misspelt one would be: declare it in a subclass."""

'''

ANNOTATIONS = {"title", "description", "examples"}


class Models:
    """Turns one bundle, as gateway schemas writes it, into source text."""

    def __init__(self, bundle, version):
        self._bundle, self._version = bundle, version

    def source(self):
        typing = ["Annotated", "List", "Optional", "Union"] if self._version == 2 else ["List", "Optional", "Union"]
        pydantic = ["BaseModel", "Field"] if self._version == 2 else ["BaseModel", "Field", "confloat", "conint", "conlist", "constr"]
        parts = [HEAD.format(version=self._version, typing=", ".join(typing), pydantic=", ".join(pydantic))]
        defs = self._bundle["$defs"]
        # What others are made of stands before them.
        for name in sorted((n for n in defs if not self._is_model(n)), key=lambda n: "$ref" in json.dumps(defs[n])):
            parts.append(f"\n{self._title(name)} = {self._type(defs[name], name)}\n")
        for name in filter(self._is_model, defs):
            parts.append(self._model(name))
        entries = "".join(f'    "{name}": {self._title(name)},\n' for name in self._bundle["properties"])
        parts.append(f"\n\nEVENTS = {{\n{entries}}}\n")
        return "".join(parts)

    def _is_model(self, name):
        return "properties" in self._bundle["$defs"][name]

    def _title(self, name):
        return self._bundle["$defs"][name]["title"]

    def _model(self, name):
        schema = self._bundle["$defs"][name]
        self._only(schema, name, {"type", "properties", "required"})
        base = "Event" if name in self._bundle["properties"] else 'Event, extra="allow"'
        lines = [f'\n\nclass {self._title(name)}({base}):\n    """{schema["description"]}"""\n\n']
        required = schema.get("required", [])
        for field, own in sorted(schema["properties"].items(), key=lambda item: item[0] not in required):
            kind, default = self._type(own, f"{name}.{field}"), "..."
            if field not in required:
                kind, default = f"Optional[{kind}]", "None"
            lines.append(f"    {field}: {kind} = Field({default}, description={json.dumps(own.get('description', ''), ensure_ascii=False)})\n")
        return "".join(lines)

    def _only(self, schema, where, known):
        unknown = set(schema) - known - ANNOTATIONS
        if unknown:
            raise SystemExit(f"{where}: no model for {', '.join(sorted(unknown))}")

    def _type(self, schema, where):
        if "$ref" in schema:
            self._only(schema, where, {"$ref"})
            return self._title(schema["$ref"].removeprefix("#/$defs/"))
        if "anyOf" in schema:
            self._only(schema, where, {"anyOf"})
            return f"Union[{', '.join(self._type(one, where) for one in schema['anyOf'])}]"
        self._only(schema, where, {"type", "items", "maxItems", "minimum", "maximum", "minLength", "maxLength"})
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kinds = [kind for name in types for kind in self._kinds(name, schema, where)]
        return kinds[0] if len(kinds) == 1 else f"Union[{', '.join(kinds)}]"

    def _kinds(self, name, schema, where):
        numeric = self._arguments(schema, ge="minimum", le="maximum")
        if name == "null":
            return ["None"]
        if name == "string":
            return [self._scalar("str", self._arguments(schema, min_length="minLength", max_length="maxLength"))]
        if name == "integer":
            return [self._scalar("int", numeric)]
        if name == "number":
            return [self._scalar("int", numeric), self._scalar("float", [*numeric, "allow_inf_nan=False"])]
        if name == "array":
            items = self._type(schema["items"], where)
            if self._version == 1:
                return [f"conlist({', '.join([items, *self._arguments(schema, max_items='maxItems')])})"]
            return [f"Annotated[List[{items}], Field({', '.join(self._arguments(schema, max_length='maxItems'))})]"]
        raise SystemExit(f"{where}: no model for {name}")

    @staticmethod
    def _arguments(schema, **names):
        return [f"{ours}={schema[theirs]}" for ours, theirs in names.items() if theirs in schema]

    def _scalar(self, name, arguments):
        # Strict: a model must not take "5" for 5 and then write another value than was given.
        text = ", ".join(["strict=True", *arguments])
        return f"con{name}({text})" if self._version == 1 else f"Annotated[{name}, Field({text})]"


def main():
    parser = argparse.ArgumentParser(description="Makes Pydantic models of the gateway's events, from standard input.")
    parser.add_argument("--pydantic", type=int, choices=(1, 2), default=2, help="the major version that the models are for (default 2)")
    sys.stdout.write(Models(json.load(sys.stdin), parser.parse_args().pydantic).source())


if __name__ == "__main__":
    main()
