//! A recipe as a link: `?v=1&preset=first-look&student.layers=3`. Only what differs from the preset is in it.

use limbeck_recipe::Recipe;

use super::fields::{self, FIELDS, shorten};
use super::presets::{self, FIRST};

/// Version of the links that this page writes.
const VERSION: u32 = 1;

/// What else the page reads from its address.
const PAGE_PARAMETERS: [&str; 8] = [
    "embed", "hide", "hub", "on", "see", "sentence", "token", "tour",
];

/// More warnings than this help nobody.
const MOST_WARNINGS: usize = 8;

/// The query of a recipe: `?v=1&preset=...` and what differs from that preset. Names of own teachers and texts stay out
/// of it, but for a teacher of the hub.
pub fn query(recipe: &Recipe, preset: &str) -> String {
    let preset = presets::preset(preset).unwrap_or(presets::presets()[0]);
    let base = (preset.recipe)();
    let mut query = format!("?v={VERSION}&preset={}", preset.key);
    // Letters, digits and `.:,-+_/` need no escape in a query, and no field has others.
    if recipe.teacher != base.teacher && is_hub_id(&recipe.teacher) {
        query.push_str(&format!("&teacher={}", recipe.teacher));
    }
    for field in &FIELDS {
        let text = field.link_text(recipe);
        if text != field.link_text(&base) {
            query.push_str(&format!("&{}={text}", field.key));
        }
    }
    query
}

/// The recipe of a query, the key of its preset, and what could not be taken from it.
pub fn read(search: &str) -> (Recipe, &'static str, Vec<String>) {
    let parameters = parameters(search);
    let mut warnings = Vec::new();
    let key = chosen_preset(&parameters, &mut warnings);
    let preset = presets::preset(key).unwrap_or(presets::presets()[0]);
    let mut recipe = (preset.recipe)();
    for (name, value) in &parameters {
        if let Err(warning) = take(&mut recipe, name, value) {
            warnings.push(warning);
        }
    }
    if warnings.len() > MOST_WARNINGS {
        let more = warnings.len() - MOST_WARNINGS;
        warnings.truncate(MOST_WARNINGS);
        warnings.push(format!("{more} more parts of the link"));
    }
    (recipe, preset.key, warnings)
}

/// Whether a query says anything of a recipe.
pub fn holds_recipe(search: &str) -> bool {
    parameters(search).iter().any(|(name, _)| is_ours(name))
}

/// A query in which the recipe is replaced and every other parameter stays as it is.
pub fn replaced(search: &str, recipe: &Recipe, preset: &str) -> String {
    let mut query = query(recipe, preset);
    for part in parts(search) {
        let name = decoded(part.split_once('=').map_or(part, |(name, _)| name));
        if !is_ours(&name) {
            query.push('&');
            query.push_str(part);
        }
    }
    query
}

fn is_ours(name: &str) -> bool {
    matches!(name, "v" | "preset" | "teacher") || fields::field(name).is_some()
}

fn chosen_preset(parameters: &[(String, String)], warnings: &mut Vec<String>) -> &'static str {
    let Some((_, key)) = parameters.iter().find(|(name, _)| name == "preset") else {
        return FIRST;
    };
    if let Some(preset) = presets::preset(key) {
        return preset.key;
    }
    let known = presets::presets().map(|preset| preset.key).join(", ");
    warnings.push(format!(
        "the page has no preset `{}`, so it uses `{FIRST}`; its presets are {known}",
        shorten(key)
    ));
    FIRST
}

/// Takes one parameter into the recipe.
fn take(recipe: &mut Recipe, name: &str, value: &str) -> Result<(), String> {
    if name == "preset" || PAGE_PARAMETERS.contains(&name) {
        return Ok(());
    }
    if name == "v" {
        return check_version(value);
    }
    if name == "teacher" {
        return take_teacher(recipe, value);
    }
    let Some(field) = fields::field(name) else {
        return Err(format!(
            "the page does not know the link's `{}`",
            shorten(name)
        ));
    };
    field
        .set(recipe, value)
        .map_err(|reason| format!("the link's `{name}`: {reason}"))
}

fn check_version(value: &str) -> Result<(), String> {
    match value.parse::<u32>() {
        Ok(version) if (1..=VERSION).contains(&version) => Ok(()),
        Ok(version) if version > VERSION => Err(format!(
            "the link is of version {version} and this page of version {VERSION}, so the page may not know all of it"
        )),
        _ => Err(format!(
            "the page does not know the link's version `{}`, and reads the link as version {VERSION}",
            shorten(value)
        )),
    }
}

fn take_teacher(recipe: &mut Recipe, value: &str) -> Result<(), String> {
    if !is_hub_id(value) {
        return Err(format!(
            "the link's teacher `{}` is not a hub id such as owner/name",
            shorten(value)
        ));
    }
    if value == recipe.teacher {
        return Ok(());
    }
    value.clone_into(&mut recipe.teacher);
    Err(format!(
        "the link names the teacher `{value}` of the hub: download it under Teacher; until then the page uses the bundled teacher"
    ))
}

/// `owner/name` of the Hugging Face hub.
fn is_hub_id(text: &str) -> bool {
    let is_name = |part: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (1..=96).contains(&part.len()) && part.bytes().all(known) && !part.starts_with('.')
    };
    text.split_once('/')
        .is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

fn parts(search: &str) -> impl Iterator<Item = &str> {
    let query = search.strip_prefix('?').unwrap_or(search);
    query.split('&').filter(|part| !part.is_empty())
}

/// Names and values of a query, decoded.
pub fn parameters(search: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    };
    parts(search).map(pair).collect()
}

/// Percent-decoded; what is not an escape stays as it is, what is not UTF-8 becomes U+FFFD.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::{Config, Plan};

    use super::*;

    /// xorshift: enough for choosing values.
    struct Dice(u64);

    impl Dice {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// Any finite number, by its bits.
        fn number(&mut self) -> f64 {
            loop {
                let number = f64::from_bits(self.next());
                if number.is_finite() {
                    return number;
                }
            }
        }

        fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
            texts[self.next() as usize % texts.len()]
        }
    }

    fn change(recipe: &mut Recipe, dice: &mut Dice) {
        let field = &FIELDS[dice.next() as usize % FIELDS.len()];
        let number = dice.number();
        let weights = format!("qk:{},vv:{number:?}", dice.number());
        let layers = format!("{},{}", dice.next() % 9, dice.next() % 99);
        let texts = [
            dice.next().to_string(),
            layers,
            (dice.next() % 100).to_string(),
            number.to_string(),
            weights,
            "none".into(),
            dice.one_of(&[
                "auto",
                "gpu",
                "cpu",
                "naive",
                "f16",
                "minilm-v1",
                "random",
                "pairs",
            ])
            .into(),
        ];
        for text in texts {
            // Most texts are no value of this field.
            if dice.next().is_multiple_of(3) && field.set(recipe, &text).is_ok() {
                return;
            }
        }
    }

    #[test]
    fn every_recipe_comes_back_from_its_link() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for preset in presets::presets() {
            for changes in 0..200 {
                let mut recipe = (preset.recipe)();
                for _ in 0..changes % 40 {
                    change(&mut recipe, &mut dice);
                }
                let query = query(&recipe, preset.key);
                let (back, key, warnings) = read(&query);
                assert_eq!(back, recipe, "{query}");
                assert_eq!(key, preset.key);
                assert!(warnings.is_empty(), "{query}: {warnings:?}");
                assert!(query.bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }

    #[test]
    fn a_link_says_only_what_differs() {
        let mut recipe = (presets::presets()[0].recipe)();
        assert_eq!(query(&recipe, FIRST), "?v=1&preset=first-look");
        recipe.student.layers = 3;
        recipe.relation_heads = None;
        recipe.learning_rate = 0.1 + 0.2;
        recipe.pairs = Some([("qq".into(), 1.0), ("vv".into(), 0.5)].into());
        recipe.teacher = "/home/me/secret teacher".into();
        recipe.corpus = vec!["diary.txt".into()];
        assert_eq!(
            query(&recipe, FIRST),
            "?v=1&preset=first-look&student.layers=3&relation_heads=auto&pairs=qq:1,vv:0.5&learning_rate=0.30000000000000004"
        );
    }

    #[test]
    fn a_teacher_of_the_hub_is_named() {
        let mut recipe = (presets::presets()[0].recipe)();
        recipe.teacher = "microsoft/MiniLM-L12-H384-uncased".into();
        let query = query(&recipe, FIRST);
        let (back, _, warnings) = read(&query);
        assert_eq!(back.teacher, recipe.teacher);
        assert!(warnings[0].contains("microsoft/MiniLM"), "{warnings:?}");
        let (back, _, warnings) = read("?teacher=../../etc/passwd");
        assert_eq!(back.teacher, "assets/teacher");
        assert!(warnings[0].contains("not a hub id"), "{warnings:?}");
    }

    #[test]
    fn every_experiment_is_a_plan_with_the_bundled_teacher() {
        let json = include_bytes!("../../../../assets/teacher/config.json");
        let teacher = Config::parse("config.json", json).expect("the bundled config");
        let sheet = include_str!("../../static/teach.html");
        let links = sheet.split("href=\"./?").skip(1);
        let links: Vec<String> = links
            .filter_map(|rest| Some(rest.split_once('#')?.0.replace("&amp;", "&")))
            .collect();
        assert_eq!(links.len(), 12);
        for link in links {
            let (recipe, _, warnings) = read(&link);
            assert!(warnings.is_empty(), "{link}: {warnings:?}");
            assert!(Plan::new(&recipe, &teacher).is_ok(), "{link}");
        }
    }

    #[test]
    fn nonsense_is_named_and_ignored() {
        for nonsense in [
            "abc",
            "",
            "-1",
            "NaN",
            "inf",
            "1e999",
            "🐈",
            "%ff%zz",
            "99999999999999999999",
        ] {
            for field in &FIELDS {
                let (recipe, _, warnings) = read(&format!("?{}={nonsense}", field.key));
                let free = nonsense.is_empty() && field.automatic.is_some();
                let number = nonsense.starts_with(['-', '9']);
                let taken = free || number && matches!(field.kind, fields::Kind::Decimal);
                if taken {
                    continue;
                }
                assert_eq!(warnings.len(), 1, "{}={nonsense}", field.key);
                assert!(warnings[0].contains(field.key), "{warnings:?}");
                assert_eq!(recipe, (presets::presets()[0].recipe)());
            }
        }
    }

    #[test]
    fn unknown_names_versions_and_presets_warn() {
        let (recipe, key, warnings) = read("?v=9&preset=huge&colour=red&hide=form&token=x&tour=1");
        assert_eq!(recipe, (presets::presets()[0].recipe)());
        assert_eq!(key, FIRST);
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        let said = warnings.join("\n");
        for part in ["huge", "version 9", "colour"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn garbage_is_survived_in_few_words() {
        let mut dice = Dice(7);
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..10_000).map(|_| dice.next() as u8).collect();
            let (_, _, warnings) = read(&format!("?{}", String::from_utf8_lossy(&bytes)));
            assert!(warnings.len() <= MOST_WARNINGS + 1);
            assert!(warnings.iter().all(|w| w.chars().count() < 250));
        }
        let (_, _, warnings) = read(&format!("?seed={}", "ü".repeat(10_000)));
        assert!(warnings[0].chars().count() < 250);
    }

    #[test]
    fn the_rest_of_the_address_stays() {
        let recipe = (presets::presets()[0].recipe)();
        let search = "?token=a%20b&seed=9&v=1&hide=form,maps";
        assert_eq!(
            replaced(search, &recipe, FIRST),
            "?v=1&preset=first-look&token=a%20b&hide=form,maps"
        );
        assert!(holds_recipe(search));
        assert!(!holds_recipe("?hide=form"));
    }
}
