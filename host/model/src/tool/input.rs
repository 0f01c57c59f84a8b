//! What a caller gives a tool: the values of its arguments and flags by name.

use serde_json::{Value, json};

use super::values::Values;
use super::{Run, Tool, request, words};

impl Tool {
    /// The same inputs with the defaults of what is not given, so that those that mean the same are
    /// the same. A flag that is false is not given, nor is what is null, which stands for an output
    /// that is not there.
    pub fn complete(&self, inputs: Value) -> Value {
        let Value::Object(mut given) = inputs else { return inputs };
        let is_flag = |name: &str| self.flags.iter().any(|flag| flag.key() == name);
        given.retain(|name, value| {
            !(value.is_null() || *value == Value::Bool(false) && is_flag(name))
        });
        for argument in &self.arguments {
            if let Some(default) = &argument.default
                && !given.contains_key(&argument.name)
            {
                given.insert(argument.name.clone(), default.clone());
            }
        }
        Value::Object(given)
    }

    /// What the component is called with: the `args` and `stdin` of a command, or the request for
    /// `rest_executor`. `inputs` are [complete](Tool::complete) and match the schema.
    ///
    /// No value is read as a template, and none becomes a flag, a second argument or another part of
    /// an address than the one it stands in.
    ///
    /// # Errors
    ///
    /// A sentence about the value that has no place where it should stand.
    pub fn call(&self, inputs: &Value) -> Result<Value, String> {
        let values = Values { given: inputs.as_object() };
        match &self.run {
            None => Err(format!("`{}` does not say how it runs", self.name)),
            Some(Run::Command { argv, stdin, .. }) => {
                let args = words::of(&self.flags, argv, stdin.as_ref(), values)?;
                let stdin = stdin.as_ref().and_then(|stdin| stdin.fill(|name| values.text(name)));
                Ok(json!({ "args": args, "stdin": stdin.unwrap_or_default() }))
            }
            Some(Run::Request { method, url, query, headers, body }) => {
                let url = request::url(url, values)?;
                let mut call = json!({ "method": method, "url": url });
                let parts = [
                    ("query", request::texts(query, values)),
                    ("headers", request::headers(headers, values)?),
                ];
                for (part, texts) in parts {
                    if !texts.is_empty() {
                        call[part] = texts.into();
                    }
                }
                if let Some((key, value)) =
                    body.as_ref().and_then(|body| request::body(body, headers, values))
                {
                    call[key] = value;
                }
                Ok(call)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn tool(run: &str) -> Tool {
        let text = format!(
            "name: a\nversion: 1.0.0\ndescription: A.\ncategory: data\ninput_schema:\n  arguments:\n    \
             - {{ name: x, type: string, required: true }}\n    \
             - {{ name: list, type: array }}\n    \
             - {{ name: num, type: integer, default: 3 }}\n  flags:\n    \
             - {{ flag: -v }}\n    - {{ flag: --limit, has_argument: true }}\n    \
             - {{ flag: -k, has_argument: true }}\nrun: {run}\n"
        );
        Tool::parse(&text, None).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    fn call(run: &str, inputs: Value) -> Result<Value, String> {
        let tool = tool(run);
        tool.call(&tool.complete(inputs))
    }

    #[test]
    fn arguments_and_flags_become_words_without_a_shell() {
        let run =
            "{ command: a.wasm, argv: [\"-c\", \"{x}\", \"{list}\", \"{num}\"], stdin: \"{x}!\" }";
        let given = json!({ "x": "a; b", "list": ["c d", 4], "v": true, "limit": "5" });
        let expected = json!({
            "args": ["-v", "--limit", "5", "-c", "a; b", "c d", "4", "3"], "stdin": "a; b!",
        });
        assert_eq!(call(run, given), Ok(expected));
    }

    #[test]
    fn what_is_not_given_leaves_no_word() {
        let run = "{ command: a.wasm, argv: [\"{list}\", \"--at={list}\", \"{flags}\", \"{x}\"] }";
        let call = call(run, json!({ "x": "a", "v": false, "list": null, "k": "1" })).unwrap();
        assert_eq!(call, json!({ "args": ["-k", "1", "a"], "stdin": "" }));
    }

    #[test]
    fn a_command_without_argv_gets_its_arguments_in_order() {
        let run = "{ command: a.wasm, stdin: \"{num}\" }";
        let call = call(run, json!({ "list": ["b"], "x": "a" })).unwrap();
        assert_eq!(call, json!({ "args": ["a", "b"], "stdin": "3" }));
    }

    #[test]
    fn a_flag_that_stands_in_a_template_is_not_added_again() {
        let run = "{ command: a.wasm, argv: [\"--max={limit}\", \"{x}\"] }";
        let call = call(run, json!({ "x": "a", "limit": "-2" })).unwrap();
        assert_eq!(call["args"], json!(["--max=-2", "a"]));
    }

    #[test]
    fn a_value_like_a_flag_is_refused_or_stays_in_its_word() {
        let plain = "{ command: a.wasm, argv: [\"{x}\"] }";
        assert!(call(plain, json!({ "x": "-rf" })).unwrap_err().contains("must put `--`"));
        assert_eq!(call(plain, json!({ "x": "-" })).unwrap()["args"], json!(["-"]));
        let safe = "{ command: a.wasm, argv: [\"--\", \"{x}\"] }";
        let args = call(safe, json!({ "x": "-rf", "limit": "--all", "k": "-5" })).unwrap();
        assert_eq!(args["args"], json!(["--limit=--all", "-k-5", "--", "-rf"]));
    }

    #[test]
    fn a_request_is_filled_in() {
        let run = "{ request: { method: POST, url: \"https://a.example/v1/{x}?n={num}\", \
                   query: { q: \"{x} {num}\", l: \"{limit}\" }, headers: { X-Own: \"{x}\" }, \
                   body: '{\"who\": \"{x}\", \"all\": [\"{list}\", \"{limit}\"], \"n\": \"{num}\"}' } }";
        let tool = tool(run);
        assert_eq!(tool.capabilities.lines(), ["http https://a.example"]);
        let inputs = tool.complete(json!({ "x": "a/\"b", "list": [1] }));
        let expected = json!({
            "method": "POST",
            "url": "https://a.example/v1/a%2F%22b?n=3",
            "query": { "q": "a/\"b 3" },
            "headers": { "X-Own": "a/\"b" },
            "json": { "who": "a/\"b", "all": [[1]], "n": 3 },
        });
        assert_eq!(tool.call(&inputs), Ok(expected));
    }

    #[test]
    fn a_body_is_json_a_form_or_text() {
        let body = |headers: &str, body: &str, x: &str| {
            let run = format!(
                "{{ request: {{ url: \"https://a.example\", headers: {headers}, body: \"{body}\" }} }}"
            );
            let mut call = call(&run, json!({ "x": x, "list": ["a"] })).unwrap();
            (call["json"].take(), call["body"].take())
        };
        assert_eq!(body("{}", "{list}", ""), (json!(["a"]), Value::Null));
        assert_eq!(body("{}", "x is {x}", "a&b"), (Value::Null, json!("x is a&b")));
        let form = "{ content-type: application/x-www-form-urlencoded }";
        assert_eq!(body(form, "x={x}&y=1", "a&y=2"), (Value::Null, json!("x=a%26y%3D2&y=1")));
    }

    #[test]
    fn an_address_leads_where_its_template_says() {
        let fixed = "{ request: { url: \"https://a.example/v1/{x}/b\" } }";
        for up in [".", ".."] {
            assert!(call(fixed, json!({ "x": up })).unwrap_err().contains("goes up"));
        }
        let needs = "{ request: { url: \"https://a.example/{limit}\" } }";
        assert!(call(needs, json!({ "x": "" })).unwrap_err().starts_with("`limit` is part"));
        let open = "{ request: { url: \"{x}/b?c={x}\" } }";
        assert_eq!(tool(open).capabilities.lines(), [""; 0]);
        let url = call(open, json!({ "x": "http://b" })).unwrap()["url"].clone();
        assert_eq!(url, "http://b/b?c=http%3A%2F%2Fb");
        let header = "{ request: { url: \"https://a.example\", headers: { a: \"{x}\" } } }";
        assert!(call(header, json!({ "x": "b\r\nc: d" })).unwrap_err().contains("control"));
    }

    proptest! {
        #[test]
        fn no_value_becomes_a_flag_or_a_second_word(
            x in any::<String>(), items in prop::collection::vec(any::<String>(), 0..4),
            limit in any::<String>(),
        ) {
            let run = "{ command: a.wasm, argv: [\"{flags}\", \"a{x}\", \"{x}\", \"{list}\", \"--\", \"{x}\"] }";
            let inputs = json!({ "x": x, "list": items, "limit": limit });
            let Ok(call) = call(run, inputs) else { return Ok(()) };
            let args: Vec<&str> = call["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
            let is_apart = args[0] == "--limit";
            let joined = format!("--limit={limit}");
            prop_assert!(is_apart || args[0] == joined);
            let rest = &args[if is_apart { 2 } else { 1 }..];
            prop_assert_eq!(rest.len(), items.len() + 4);
            prop_assert_eq!(rest[0], format!("a{x}"));
            prop_assert_eq!(rest[1], &x);
            prop_assert_eq!(&rest[2..2 + items.len()], &items);
            prop_assert!(rest[1..rest.len() - 2].iter().all(|word| !word.starts_with('-') || *word == "-"));
            prop_assert_eq!(&rest[rest.len() - 2..], ["--", x.as_str()]);
        }

        #[test]
        fn a_place_in_a_value_is_not_filled_again(x in "[{}xnum ]{0,12}") {
            let run = "{ command: a.wasm, argv: [\"={x}\"], stdin: \"{x}{num}\" }";
            let call = call(run, json!({ "x": x })).unwrap();
            prop_assert_eq!(&call["args"][0], &format!("={x}"));
            prop_assert_eq!(&call["stdin"], &format!("{x}3"));
        }

        #[test]
        fn no_value_leaves_its_place_in_an_address(x in any::<String>()) {
            let run = "{ request: { url: \"https://a.example/v1/{x}/b?c={x}#d\" } }";
            let Ok(call) = call(run, json!({ "x": x })) else { return Ok(()) };
            let url = call["url"].as_str().unwrap();
            prop_assert!(url.starts_with("https://a.example/v1/") && url.ends_with("#d"));
            let parts = |c: char| url.chars().filter(|other| *other == c).count();
            prop_assert_eq!((parts('/'), parts('?'), parts('#'), parts('&')), (5, 1, 1, 0));
        }

        #[test]
        fn a_body_of_json_stays_what_it_is(x in any::<String>()) {
            let run = "{ request: { url: \"https://a.example\", body: '{\"a\": \"<{x}>\", \"b\": 1}' } }";
            let call = call(run, json!({ "x": x })).unwrap();
            prop_assert_eq!(&call["json"], &json!({ "a": format!("<{x}>"), "b": 1 }));
        }
    }
}
