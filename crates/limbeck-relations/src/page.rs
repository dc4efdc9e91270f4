//! The relations as one HTML page: the pictures, and in words what they show. It needs no network and no script.

use std::fmt::Write as _;

use crate::colours::Theme;
use crate::relation::{PairMaps, Relation, Relations};
use crate::sheet::{Large, View, head_name, pair};
use crate::svg::svg;
use crate::words::{escape, number, visible};

/// Strongest tokens that are named for each row.
const STRONGEST: usize = 3;

/// The page; `facts` are names and values of what was compared.
pub fn page(relations: &Relations, view: &View, facts: &[(String, String)]) -> String {
    let mut sections = String::new();
    for maps in &relations.pairs {
        section(&mut sections, relations, maps, view);
    }
    let fact = |(name, value): &(String, String)| {
        format!(
            "<dt>{}</dt><dd><bdi>{}</bdi></dd>",
            escape(name),
            escape(&visible(value))
        )
    };
    let facts: String = facts.iter().map(fact).collect();
    let reference = relations.reference.word();
    let title = format!("Relations of {reference} and student");
    let body = format!(
        "<p class=\"muted\">Each row of a map is a probability distribution: how strongly one token relates to every other, in \
         the {reference} and in the student. KL is KL({reference} ‖ student) of a row in nats; 0 means that the two rows are the same.</p>\n\
         <dl>{facts}</dl>\n{sections}"
    );
    document(&title, "Relations, token to token", &body)
}

/// A page of its own, without network and script; all three are HTML.
pub(crate) fn document(title: &str, heading: &str, body: &str) -> String {
    let style = include_str!("page.css");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title} · limbeck</title>\n\
         <style>{style}</style>\n</head>\n<body>\n<main>\n<h1>{heading}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn section(html: &mut String, relations: &Relations, maps: &PairMaps, view: &View) {
    let (head, relation) = view.large.of(maps);
    // Writing to a string cannot fail.
    let _ = writeln!(html, "<section>\n<h2 class=\"unseen\">{}</h2>", maps.pair());
    for (class, theme) in [("light", Theme::light()), ("dark", Theme::dark())] {
        let drawing = pair(relations, maps, view, &theme);
        // Scrolled by keys too, hence the place in the order of tabs.
        let _ = writeln!(
            html,
            "<div class=\"{class} scroll\" style=\"--width:{:.0}px\" tabindex=\"0\" role=\"group\" aria-label=\"Maps of {}\">{}</div>",
            drawing.width,
            maps.pair(),
            svg(&drawing)
        );
    }
    strongest(html, relations, maps, (head, &relation));
    if !matches!(view.large, Large::Head(_)) {
        heads(html, relations, maps);
    }
    html.push_str("</section>\n");
}

/// The map in words: the strongest tokens of each row.
fn strongest(
    html: &mut String,
    relations: &Relations,
    maps: &PairMaps,
    (head, relation): (Option<usize>, &Relation),
) {
    let reference = relations.reference.word();
    let _ = write!(
        html,
        "<details><summary>In words: the {STRONGEST} strongest tokens of each row, {}, {}</summary>\
         <div class=\"scroll\"><table><caption>Special tokens are left out of the strongest; the last columns give \
         their share.</caption><thead><tr><th scope=\"col\">token</th>\
         <th scope=\"col\">{reference}</th><th scope=\"col\">student</th><th scope=\"col\" class=\"number\">KL, nats</th>\
         <th scope=\"col\" class=\"number\">special tokens: {reference}</th><th scope=\"col\" class=\"number\">student</th></tr></thead><tbody>",
        maps.pair(),
        head_name(head, maps.heads())
    );
    for row in 0..relation.size {
        strongest_of_row(html, relations, relation, row);
    }
    html.push_str("</tbody></table></div></details>\n");
}

fn strongest_of_row(html: &mut String, relations: &Relations, relation: &Relation, row: usize) {
    let special = |token: usize| relations.tokens.get(token).is_some_and(|t| t.special);
    let list = |map: &[f32]| {
        let strongest = relation.strongest(map, row, STRONGEST, special);
        let named = strongest
            .iter()
            .map(|(token, p)| format!("{} {}", name(relations, *token), number(*p)));
        named.collect::<Vec<_>>().join(", ")
    };
    let mass = |map: &[f32]| {
        let cells = (0..relation.size).filter(|token| special(*token));
        let sum: f64 = cells
            .map(|token| f64::from(map[row * relation.size + token]))
            .sum();
        number(sum)
    };
    let _ = write!(
        html,
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td></tr>",
        name(relations, row),
        list(&relation.teacher),
        list(&relation.student),
        number(relation.kl[row]),
        mass(&relation.teacher),
        mass(&relation.student)
    );
}

/// Isolated, so that a token of a right-to-left script does not turn its neighbours around.
fn name(relations: &Relations, token: usize) -> String {
    let text = relations.tokens.get(token).map_or("", |t| t.text.as_str());
    format!("<bdi>{}</bdi>", escape(&visible(text)))
}

/// All heads and where each is farthest from the teacher.
fn heads(html: &mut String, relations: &Relations, maps: &PairMaps) {
    let _ = write!(
        html,
        "<details><summary>In words: all {} relation heads</summary><div class=\"scroll\"><table><thead><tr>\
         <th scope=\"col\" class=\"number\">head</th><th scope=\"col\" class=\"number\">KL, mean of the rows</th>\
         <th scope=\"col\">farthest row</th><th scope=\"col\" class=\"number\">its KL</th></tr></thead><tbody>",
        maps.heads()
    );
    for head in maps.by_kl() {
        let relation = maps.head(head);
        let (row, _) = relation.worst();
        let _ = write!(
            html,
            "<tr><th scope=\"row\" class=\"number\">{}</th><td class=\"number\">{}</td><td>{}</td><td class=\"number\">{}</td></tr>",
            head + 1,
            number(relation.total()),
            name(relations, row),
            number(relation.kl[row])
        );
    }
    html.push_str("</tbody></table></div></details>\n");
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Pair;

    use super::*;
    use crate::relation::Token;

    #[test]
    fn text_is_shown_and_never_run() {
        let hostile = "</title><script>alert(1)</script>\u{1b}";
        let relations = Relations {
            tokens: vec![Token {
                text: hostile.into(),
                special: false,
            }],
            relation_heads: 1,
            teacher_layer: 1,
            student_layer: 1,
            pairs: PairMaps::new(Pair::QQ, (1, 1), vec![1.0], vec![1.0])
                .into_iter()
                .collect(),
            ..Relations::default()
        };
        let page = page(
            &relations,
            &View::default(),
            &[(hostile.into(), hostile.into())],
        );
        assert!(!page.contains("<script") && !page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;") && page.contains("\\u{1b}"));
        assert_eq!(
            page.matches("</title>").count(),
            3,
            "of the page and of two pictures"
        );
        for word in ["http:", "https:", "@import", "url(", "src="] {
            assert!(
                !page
                    .replace("http://www.w3.org/2000/svg", "")
                    .contains(word),
                "{word}"
            );
        }
    }
}
