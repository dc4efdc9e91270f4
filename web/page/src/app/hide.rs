//! `?hide=form,numbers`: a page with fewer parts, for a class or a talk.

/// A part that can be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Name, theme, state of the engine.
    Header,
    /// Teacher and texts.
    Data,
    /// The recipe.
    Form,
    /// Buttons and figures.
    Run,
    /// Curves.
    Charts,
    /// Relations of a sentence.
    Maps,
    /// Files to take away.
    Out,
    /// Self-test and benchmark.
    Numbers,
}

const NAMES: [(&str, Part); 8] = [
    ("header", Part::Header),
    ("data", Part::Data),
    ("form", Part::Form),
    ("run", Part::Run),
    ("charts", Part::Charts),
    ("maps", Part::Maps),
    ("out", Part::Out),
    ("numbers", Part::Numbers),
];

/// The parts that an address hides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hidden(Vec<Part>);

impl Hidden {
    /// Whether this part is hidden.
    pub fn has(&self, part: Part) -> bool {
        self.0.contains(&part)
    }
}

/// Reads the query of an address; what it names wrongly is said in the second value.
pub fn read(search: &str) -> (Hidden, Vec<String>) {
    let mut hidden = Hidden::default();
    let mut unknown = Vec::new();
    let parameters = search.trim_start_matches('?').split('&');
    let lists = parameters.filter_map(|parameter| parameter.strip_prefix("hide="));
    let names = lists.flat_map(|list| list.split([',', '+']).flat_map(|name| name.split("%2C")));
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, part)) => hidden.0.push(*part),
            None => unknown.push(format!(
                "the address hides `{name}`, which is no part of this page; parts are {}",
                NAMES.map(|(known, _)| known).join(", ")
            )),
        }
    }
    (hidden, unknown)
}

#[cfg(test)]
mod tests {
    use super::{Part, read};

    #[test]
    fn parts_are_hidden_by_name() {
        let (hidden, unknown) = read("?v=1&hide=form,numbers&hide=out");
        assert!(hidden.has(Part::Form) && hidden.has(Part::Numbers) && hidden.has(Part::Out));
        assert!(!hidden.has(Part::Charts) && unknown.is_empty());
        assert!(read("?hide=form%2Cdata").0.has(Part::Data));
        assert_eq!(read(""), read("?hide="));
    }

    #[test]
    fn an_unknown_part_is_named() {
        let (_, unknown) = read("?hide=chart");
        assert!(unknown[0].contains("`chart`") && unknown[0].contains("charts"));
    }
}
