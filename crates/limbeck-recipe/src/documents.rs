//! What a document of a corpus is.

/// What stands between the two texts of a pair.
pub const PAIR: char = '\t';

/// The part of a line that models read. Two texts of it have [`PAIR`] between them, and the first has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Documents {
    /// The line itself.
    #[default]
    Lines,
    /// The line itself, which is two texts where it has a tab.
    Pairs,
    /// A field of the JSON object that the line is.
    Field(String),
    /// Two fields of it, which are the texts of a pair.
    Fields([String; 2]),
}

impl Documents {
    /// Of the recipe's `corpus_field` and `corpus_pairs`.
    ///
    /// # Errors
    /// The field of pairs is not two different names with a comma between them: the mistake, in words.
    pub fn of(field: Option<&str>, are_pairs: bool) -> Result<Self, String> {
        let Some(field) = field else {
            return Ok(match are_pairs {
                true => Self::Pairs,
                false => Self::Lines,
            });
        };
        if !are_pairs {
            return Ok(Self::Field(field.to_owned()));
        }
        let names: Vec<&str> = field.split(',').map(str::trim).collect();
        match names[..] {
            [first, second] if first == second && !first.is_empty() => Err(format!(
                "\"{field}\" names one field for both texts of a pair; name the field of each, such as \"premise,hypothesis\""
            )),
            [first, second] if !first.is_empty() && !second.is_empty() => {
                Ok(Self::Fields([first, second].map(str::to_owned)))
            }
            _ => Err(format!(
                "corpus_pairs = true needs the fields of both texts, with a comma between them, such as \"premise,hypothesis\", not \"{field}\""
            )),
        }
    }

    /// The fields of JSON lines; none of plain text.
    pub fn fields(&self) -> &[String] {
        match self {
            Self::Lines | Self::Pairs => &[],
            Self::Field(field) => std::slice::from_ref(field),
            Self::Fields(fields) => fields,
        }
    }
}

impl From<Option<&str>> for Documents {
    /// A field, or the lines themselves.
    fn from(field: Option<&str>) -> Self {
        field.map_or(Self::Lines, |field| Self::Field(field.to_owned()))
    }
}
