//! Random recipes and flags: each is refused in words, or makes a student of finite numbers, and the same one twice.

use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::oracle::{self, Done, Fault};
use super::scene::{Scene, Source};
use super::{Attack, files, write};
use crate::shell::Result;

/// How long a run may take before it is interrupted: a random number of steps may be any.
const LONGEST: Duration = Duration::from_secs(3);
const INTERRUPT: i32 = 2;

/// A field of a recipe, as the JSON Schema describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    path: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Whole,
    Number,
    Flag,
    Text(Vec<String>),
    List(Box<Kind>),
    Table(Box<Kind>),
}

/// Every field that the program's schema knows.
///
/// # Errors
/// It does not print one.
pub fn fields(scene: &mut Scene) -> Result<Vec<Field>> {
    let outcome = scene.run(&["config", "schema"], b"")?;
    let schema: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
    let mut fields = Vec::new();
    collect(&schema, &schema, "", &mut fields);
    scene.require(
        fields.len() > 20,
        "`limbeck config schema` lists too few fields",
    )?;
    Ok(fields)
}

fn collect(schema: &Value, object: &Value, prefix: &str, fields: &mut Vec<Field>) {
    for (name, property) in object["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let property = resolved(schema, property);
        if property["properties"].is_object() {
            collect(schema, property, &format!("{path}."), fields);
        } else {
            let kind = kind(schema, property);
            fields.push(Field { path, kind });
        }
    }
}

/// What a reference stands for.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let reference = part["$ref"].as_str();
    let place = reference.and_then(|reference| reference.strip_prefix('#'));
    place
        .and_then(|place| schema.pointer(place))
        .unwrap_or(part)
}

fn kind(schema: &Value, property: &Value) -> Kind {
    let types: Vec<&str> = match &property["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let inner = |key: &str| Box::new(kind(schema, resolved(schema, &property[key])));
    match types.first().copied() {
        Some("integer") => Kind::Whole,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Flag,
        Some("array") => Kind::List(inner("items")),
        Some("object") => Kind::Table(inner("additionalProperties")),
        _ => Kind::Text(words(property)),
    }
}

/// The values that a schema allows, if it lists them.
fn words(property: &Value) -> Vec<String> {
    let choices = property["oneOf"].as_array().into_iter().flatten();
    let consts = choices.map(|choice| &choice["const"]);
    let all = consts.chain(property["enum"].as_array().into_iter().flatten());
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A value for a field: most often one that may be valid, sometimes an edge, sometimes of another kind. `null` stands for
/// the numbers that JSON cannot write.
fn value(kind: &Kind, rng: &mut Rng) -> Value {
    let odd = rng.usize(..4) == 0;
    match kind {
        Kind::Whole if odd => whole_edge(rng),
        // They divide each other often enough for a valid recipe.
        Kind::Whole => [1, 1, 2, 3, 4, 6, 12, 24][rng.usize(..8)].into(),
        Kind::Number if odd => number_edge(rng),
        Kind::Number => json!(rng.f64()),
        Kind::Flag => json!(rng.bool()),
        Kind::Text(words) if odd || words.is_empty() => text(rng),
        Kind::Text(words) => json!(words[rng.usize(..words.len())]),
        Kind::List(_) | Kind::Table(_) if odd => whole_edge(rng),
        Kind::List(inner) => (0..rng.usize(..4)).map(|_| value(inner, rng)).collect(),
        Kind::Table(inner) => {
            let keys = [
                "qq", "qk", "qv", "kq", "kk", "kv", "vq", "vk", "vv", "", "q", "Q-Q",
            ];
            let entries = (0..rng.usize(..4)).map(|_| {
                let key = keys[rng.usize(..keys.len())].to_owned();
                (key, value(inner, rng))
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// What a valid recipe can do with the largest of these takes little memory: the others are beyond every limit.
fn whole_edge(rng: &mut Rng) -> Value {
    match rng.usize(..12) {
        0 => json!(0),
        1 => json!(-1),
        2 => json!(65_537),
        3 => json!(1_048_577),
        4 => json!((1_u64 << 31) + 1),
        5 => json!(1_u64 << 40),
        6 => json!(i64::MAX),
        7 => json!(u64::MAX),
        8 => json!(i64::MIN),
        9 => json!(1.5),
        10 => json!([[], ["12", true]]),
        _ => text(rng),
    }
}

fn number_edge(rng: &mut Rng) -> Value {
    const EDGES: [f64; 13] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        1e-45,
        1e-300,
        1e9,
        1e30,
        1e300,
        -1e300,
        0.999_999_999_999,
        f64::MIN_POSITIVE,
    ];
    match rng.usize(..4) {
        0 => Value::Null,
        1 => whole_edge(rng),
        _ => json!(EDGES[rng.usize(..EDGES.len())]),
    }
}

fn text(rng: &mut Rng) -> Value {
    const TEXTS: [&str; 22] = [
        "",
        "teacher",
        "teacher",
        "corpus.txt",
        "corpus.txt",
        "student",
        "out",
        "a/b/c",
        ".",
        "..",
        "notes",
        "no",
        "*",
        "**",
        "*.txt",
        "[",
        "corpus.txt/x",
        "\u{0}",
        "line\nbreak",
        "ü 山 \u{1f5fb}",
        "recipe.toml",
        "{{}}",
    ];
    match rng.usize(..20) {
        0 => json!("x".repeat(5000)),
        _ => json!(TEXTS[rng.usize(..TEXTS.len())]),
    }
}

/// A value as TOML has it.
fn toml(value: &Value, rng: &mut Rng) -> String {
    match value {
        Value::Null => ["nan", "inf", "-inf"][rng.usize(..3)].to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| toml(item, rng)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entry = |(key, value)| format!("{} = {}", json!(key), toml(value, rng));
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        // What JSON escapes in a text, TOML escapes in the same way.
        other => other.to_string(),
    }
}

/// Changes some fields of a recipe in JSON. It stays on the CPU: a software GPU would take minutes to begin.
pub fn change_json(recipe: &mut Value, fields: &[Field], rng: &mut Rng) {
    for _ in 0..rng.usize(1..=3) {
        let field = &fields[rng.usize(..fields.len())];
        let place = format!("/{}", field.path.replace('.', "/"));
        let new = value(&field.kind, rng);
        if let Some(old) = recipe.pointer_mut(&place) {
            *old = new;
        }
    }
    recipe["device"] = json!("cpu");
}

/// Tries random recipes.
pub struct Recipes {
    fields: Vec<Field>,
}

impl Recipes {
    /// Reads the program's schema.
    ///
    /// # Errors
    /// There is none.
    pub fn prepare(source: &Source, base: &Path) -> Result<Self> {
        let mut scene = Scene::new(source, base.to_owned())?;
        let fields = fields(&mut scene)?;
        Ok(Self { fields })
    }

    fn setting(&self, rng: &mut Rng) -> (String, String) {
        let field = &self.fields[rng.usize(..self.fields.len())];
        let value = value(&field.kind, rng);
        (field.path.clone(), toml(&value, rng))
    }

    /// A recipe that would be valid, with some fields changed.
    fn recipe(&self, rng: &mut Rng) -> String {
        let mut lines: Vec<(String, String)> = [
            ("teacher", "\"teacher\""),
            ("corpus", "[\"corpus.txt\"]"),
            ("steps", "4"),
            ("max_length", "16"),
            ("batch", "4"),
            ("student.layers", "1"),
            ("student.hidden", "12"),
            ("student.heads", "3"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let other = match rng.usize(..8) {
            0 => Some(("student.init", "{ folder = \"teacher\" }")),
            1 => Some(("assistant_steps", "3")),
            _ => None,
        };
        lines.extend(other.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for _ in 0..rng.usize(..6) {
            let (key, value) = self.setting(rng);
            lines.retain(|(other, _)| *other != key);
            lines.push((key, value));
        }
        let mut text: String = lines
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect();
        if rng.usize(..20) == 0 {
            let mut bytes = text.into_bytes();
            super::damage::damage(&mut bytes, rng);
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        text
    }

    fn flags(&self, rng: &mut Rng) -> Vec<String> {
        const BROKEN: [&str; 8] = [
            "student=3",
            "student.layers.x=2",
            "=",
            "a.b.c=1",
            "..=1",
            "pairs.qq=nan",
            "steps",
            "seed=",
        ];
        let mut flags = Vec::new();
        for _ in 0..rng.usize(..3) {
            let (key, value) = self.setting(rng);
            let setting = match rng.usize(..8) {
                0 => BROKEN[rng.usize(..BROKEN.len())].to_owned(),
                _ => format!("{key}={value}"),
            };
            flags.extend(["--set".to_owned(), setting]);
        }
        if rng.bool() {
            flags.push("--overwrite".to_owned());
        }
        flags
    }
}

/// A recipe that comes with limbeck, with an assistant, for a small student.
const NAMED: [&str; 20] = [
    "distill",
    "--recipe",
    "v1-assistant",
    "--teacher",
    "teacher",
    "--corpus",
    "corpus.txt",
    "--device",
    "cpu",
    "--json",
    "--set",
    "assistant_steps=3",
    "--set",
    "steps=3",
    "--set",
    "warmup=1",
    "--set",
    "student={layers=1,hidden=12,heads=2,init=\"random\"}",
    "--set",
    "max_length=16",
];

/// What no run may touch, whatever its recipe says.
const OTHERS: [&str; 4] = ["teacher", "corpus.txt", "recipe.toml", "notes"];

impl Attack for Recipes {
    fn attempt(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<()> {
        write(&scene.path("notes/diary.txt"), b"dear diary")?;
        write(&scene.path("recipe.toml"), self.recipe(rng).as_bytes())?;
        let flags = self.flags(rng);
        let others = scene.files(&OTHERS)?;
        if rng.usize(..8) == 0 {
            scene.run(&["config", "check", "recipe.toml"], b"")?;
        }
        let usual: &[&str] = match rng.usize(..8) {
            0 => &NAMED,
            _ => &[
                "distill",
                "--config",
                "recipe.toml",
                "--device",
                "cpu",
                "--json",
            ],
        };
        let flags: Vec<&str> = usual
            .iter()
            .copied()
            .chain(flags.iter().map(String::as_str))
            .collect();
        if rng.usize(..8) == 0 {
            baseline(scene)?;
        }
        if let Some(out) = distil(scene, &flags)? {
            let student = files(&scene.path(&out))?;
            let weights = student.get("model.safetensors");
            match weights.map(|weights| oracle::not_finite(weights)) {
                Some(Ok(None)) => {}
                Some(Ok(Some(value))) => {
                    scene.found(
                        Fault::Silent,
                        format!("success, and {value} among the student's weights"),
                    );
                }
                Some(Err(reason)) => scene.found(
                    Fault::Silent,
                    format!("success, and the weights are not whole: {reason}"),
                ),
                None => scene.found(Fault::Silent, "success without a student"),
            }
            let again = [&flags[..], &["--out", &out]].concat();
            let again: Vec<&str> = again
                .into_iter()
                .filter(|flag| *flag != "--overwrite")
                .chain(["--overwrite"])
                .collect();
            if rng.usize(..3) == 0 && distil(scene, &again)?.is_some() {
                let second = files(&scene.path(&out))?;
                if let Some(what) = oracle::differences(&second, &student, true) {
                    scene.found(
                        Fault::Silent,
                        format!("the same recipe a second time: {what}"),
                    );
                }
            }
        }
        scene.untouched(&OTHERS, &others)
    }
}

/// The student that a random recipe would start from: finite numbers, or a sentence.
fn baseline(scene: &mut Scene) -> Result<()> {
    let flags = ["baseline", "--config", "recipe.toml", "--out", "baseline"];
    if !scene.run(&flags, b"")?.succeeded() {
        return Ok(());
    }
    let weights = files(&scene.path("baseline"))?.remove("model.safetensors");
    match weights.map(|weights| oracle::not_finite(&weights)) {
        Some(Ok(None)) => {}
        other => scene.found(
            Fault::Silent,
            format!("success, and the weights of the baseline are {other:?}"),
        ),
    }
    Ok(())
}

/// Runs a recipe, and interrupts it if it takes long; the output folder if it has come to its end.
fn distil(scene: &mut Scene, flags: &[&str]) -> Result<Option<String>> {
    let mut running = scene.start(flags)?;
    let mut done = Done::Nothing;
    if !running.wait(LONGEST)? {
        running.signal("INT");
        scene.note("  SIGINT");
        done = Done::Sent(INTERRUPT);
    }
    let outcome = scene.end(running, done)?;
    let last: Value = outcome
        .stdout
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or_default();
    if outcome.succeeded() && last["out"].as_str().is_none() {
        scene.found(Fault::Silent, "success, and no word of it");
    }
    Ok(last["out"]
        .as_str()
        .filter(|_| outcome.succeeded())
        .map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::{Field, Kind, collect, toml, value};
    use fastrand::Rng;
    use serde_json::json;

    #[test]
    fn fields_follow_the_schema() {
        let schema = json!({
            "properties": {
                "steps": { "type": "integer" },
                "pairs": { "type": ["object", "null"], "additionalProperties": { "type": "number" } },
                "device": { "$ref": "#/$defs/Device" },
                "student": { "$ref": "#/$defs/Student" },
            },
            "$defs": {
                "Device": { "oneOf": [{ "const": "auto" }, { "const": "cpu" }] },
                "Student": { "properties": { "from": { "type": ["array", "null"], "items": { "type": "integer" } } } },
            },
        });
        let mut fields = Vec::new();
        collect(&schema, &schema, "", &mut fields);
        let field = |path: &str, kind| Field {
            path: path.to_owned(),
            kind,
        };
        fields.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(
            fields,
            [
                field(
                    "device",
                    Kind::Text(vec!["auto".to_owned(), "cpu".to_owned()])
                ),
                field("pairs", Kind::Table(Box::new(Kind::Number))),
                field("steps", Kind::Whole),
                field("student.from", Kind::List(Box::new(Kind::Whole))),
            ]
        );
    }

    #[test]
    fn values_are_written_as_toml() {
        let rng = &mut Rng::with_seed(1);
        let written = toml(&json!({ "qq": 1.5, "a\"b": ["x", true] }), rng);
        assert_eq!(written, "{ \"a\\\"b\" = [\"x\", true], \"qq\" = 1.5 }");
        assert!(["nan", "inf", "-inf"].contains(&toml(&json!(null), rng).as_str()));
    }

    #[test]
    fn values_are_often_valid_and_sometimes_not() {
        let rng = &mut Rng::with_seed(1);
        let small = (0..1000).filter(|_| {
            let value = value(&Kind::Whole, rng);
            value
                .as_u64()
                .is_some_and(|value| (1..=24).contains(&value))
        });
        let small = small.count();
        assert!((600..900).contains(&small), "{small}");
    }
}
