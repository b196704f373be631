"""The models take and refuse what the schemas do, for the Pydantic that is installed, and the examples keep both.

python3 test_models.py, with Debian's python3-pydantic, python3-jsonschema and python3-redis.
"""

import io
import json
import pathlib
import types
import unittest
from contextlib import redirect_stdout
from unittest import mock

import pydantic
from jsonschema import Draft202012Validator

from make_models import Models

HERE = pathlib.Path(__file__).parent
VERSION = int(pydantic.VERSION.split(".", 1)[0])
BUNDLE = json.loads((HERE / "events.schema.json").read_text("utf-8"))

# Of every JSON type, about every bound. Not 5.0, which is an integer in JSON Schema and in no model.
PROBES = [True, 0, -1, 1, 5, 6, 2**70, 0.5, -0.5, 1.5, "", "x", "ñ" * 128, "x" * 129, "5", [], ["x"], [1], [None], [{}], [""], [1] * 1000, [1] * 1001, {}, {"x": 1}]


def models(version):
    module = types.ModuleType("events")
    exec(compile(Models(BUNDLE, version).source(), "events.py", "exec"), module.__dict__)
    return module


def verdict(schema, data):
    return Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": BUNDLE["$defs"]}).is_valid(data)


def given(model):
    return model.model_dump(mode="json", exclude_none=True) if VERSION > 1 else model.dict(exclude_none=True)


def accepts(model, data):
    try:
        model(**data)
    except pydantic.ValidationError:
        return False
    return True


class TestModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.events = models(min(VERSION, 2))
        cls.of = {name: getattr(cls.events, schema["title"]) for name, schema in BUNDLE["$defs"].items() if "properties" in schema}

    def examples(self):
        for name, model in self.of.items():
            for example in BUNDLE["$defs"][name]["examples"]:
                yield name, model, example

    def test_the_shipped_models_are_those_of_the_schema(self):
        self.assertEqual((HERE / "event_models.py").read_text("utf-8"), Models(BUNDLE, 2).source(), "python3 make_models.py makes them")
        self.assertEqual(list(self.events.EVENTS), list(BUNDLE["properties"]))

    def test_each_example_passes_through_unchanged(self):
        for name, model, example in self.examples():
            self.assertTrue(verdict(name, example), name)
            self.assertEqual(given(model(**example)), {k: v for k, v in example.items() if v is not None}, name)

    def test_each_misspelt_or_missing_field(self):
        for name, model, example in self.examples():
            required = BUNDLE["$defs"][name]["required"] if "required" in BUNDLE["$defs"][name] else []
            for field in example:
                misspelt = {k + "x" if k == field else k: v for k, v in example.items()}
                missing = {k: v for k, v in example.items() if k != field}
                for data in (misspelt, missing) if field in required else ():
                    self.assertFalse(verdict(name, data), f"{name} {data}")
                    self.assertFalse(accepts(model, data), f"{name} {data}")
                # Schemas allow fields that they do not name, for tomorrow's events; whoever writes an event has no use for that.
                self.assertEqual(accepts(model, misspelt), field not in required and name.endswith("_event"), f"{name} {misspelt}")

    def test_each_value_of_each_field_is_taken_by_both_or_by_none(self):
        probed = 0
        for name, model in self.of.items():
            schema = BUNDLE["$defs"][name]
            for field in schema["properties"]:
                for value in PROBES + ([None] if field in schema.get("required", []) else []):
                    data = {**schema["examples"][0], field: value}
                    self.assertEqual(accepts(model, data), verdict(name, data), f"{name}.{field} = {value!r:.40}")
                    probed += 1
        self.assertGreater(probed, 1000)

    def test_a_keyword_that_no_model_can_say_stops_the_script(self):
        bundle = json.loads(json.dumps(BUNDLE))
        bundle["$defs"]["oferta_submitted"]["properties"]["currency"]["pattern"] = "^[A-Z]{3}$"
        for version in (1, 2):
            with self.assertRaisesRegex(SystemExit, "oferta_submitted.currency: no model for pattern"):
                Models(bundle, version).source()

    def test_both_versions_are_python(self):
        for version in (1, 2):
            compile(Models(BUNDLE, version).source(), "events.py", "exec")


class TestExample(unittest.TestCase):
    def test_what_the_example_writes_keeps_the_schemas(self):
        import example

        of = models(min(VERSION, 2)).EVENTS
        with mock.patch("redis.Redis.from_url") as client, redirect_stdout(io.StringIO()):
            example.main("redis://nowhere")
        written = [call.args[1] for call in client.return_value.__enter__.return_value.xadd.call_args_list]
        self.assertEqual(len(written), 5)
        for entry in written:
            name, data = entry["event"], json.loads(entry["data"])
            self.assertTrue(verdict(name if name in of else name.split("_")[0] + "_event", data), name)
            if name in of:
                self.assertEqual(given(of[name](**data)), data, name)


if __name__ == "__main__":
    unittest.main()
