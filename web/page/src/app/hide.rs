//! `?hide=form,numbers`: a page with fewer parts, for a class or a talk. `?embed=maps`: one view alone, in a frame of another page.

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

/// What can be shown alone: what the page opens with, the relations, the curves. `start.js` writes the name on the root, and
/// `base.css` hides the rest.
const ALONE: [&str; 3] = [WITH_RUN, "maps", "charts"];

/// The only one of them with a button that starts a run.
const WITH_RUN: &str = "front";

/// Whether a run can be started on the page of these parameters; and what they name wrongly.
pub fn embedded(parameters: &[(String, String)]) -> (bool, Option<String>) {
    let Some((_, view)) = parameters.iter().find(|(name, _)| name == "embed") else {
        return (true, None);
    };
    let is_known = ALONE.contains(&view.as_str());
    let unknown = format!(
        "there is no view `{view}` to embed; there are {}",
        ALONE.join(", ")
    );
    (
        !is_known || view == WITH_RUN,
        (!is_known).then_some(unknown),
    )
}

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
                "the address hides `{name}`, which is not a part of this page; its parts are {}",
                NAMES.map(|(known, _)| known).join(", ")
            )),
        }
    }
    (hidden, unknown)
}

#[cfg(test)]
mod tests {
    use super::{Part, embedded, read};

    #[test]
    fn parts_are_hidden_by_name() {
        let (hidden, unknown) = read("?v=1&hide=form,numbers&hide=out");
        assert!(hidden.has(Part::Form) && hidden.has(Part::Numbers) && hidden.has(Part::Out));
        assert!(!hidden.has(Part::Charts) && unknown.is_empty());
        assert!(read("?hide=form%2Cdata").0.has(Part::Data));
        assert_eq!(read(""), read("?hide="));
    }

    #[test]
    fn a_view_alone_needs_an_engine_only_to_start_a_run() {
        let of = |query| embedded(&crate::form::parameters(query));
        assert_eq!([of(""), of("?embed=front")], [(true, None), (true, None)]);
        assert_eq!(
            [of("?embed=maps"), of("?v=1&embed=charts")],
            [(false, None), (false, None)]
        );
        let (runs, unknown) = of("?embed=pie");
        assert!(
            runs && unknown.is_some_and(|text| text.contains("`pie`") && text.contains("maps"))
        );
    }

    #[test]
    fn an_unknown_part_is_named() {
        let (_, unknown) = read("?hide=chart");
        assert!(unknown[0].contains("`chart`") && unknown[0].contains("charts"));
    }
}
