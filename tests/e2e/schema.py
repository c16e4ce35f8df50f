"""Holds lines of JSON against docs/events.schema.json: schema.py SCHEMA FILE... Names what does not fit, and prints the
events that were seen."""
import json
import sys

import jsonschema

with open(sys.argv[1], encoding="ascii") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
whole = jsonschema.Draft202012Validator(schema)
parts = {name: jsonschema.Draft202012Validator({**schema["$defs"][name], "$defs": schema["$defs"]})
         for name in schema["$defs"]}
seen, bad = set(), 0
for name in sys.argv[2:]:
    with open(name, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            value = json.loads(line)
            event = value.get("event")
            errors = [error.message for error in parts[event].iter_errors(value)] if event in parts else ["no such event"]
            if not errors and not whole.is_valid(value):
                errors = ["more than one kind"]
            seen.add(event)
            for error in errors:
                print(f"{name}:{number}: {event}: {error}")
                bad += 1
print("seen: " + " ".join(sorted(seen)))
sys.exit(1 if bad else 0)
