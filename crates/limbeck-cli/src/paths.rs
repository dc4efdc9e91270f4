//! The paths of a recipe: relative to the current folder while a run reads them, and relative to the run's own folder in what it
//! leaves there, so that a folder that is published tells nothing of the machine, and one that is moved with its teacher finds it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use limbeck_recipe::{HubId, Init, Recipe};
use serde::{Deserialize, Serialize};

/// Stands for the way to what cannot be named without naming a person's folder, or the top of the disk.
const ELSEWHERE: &str = "elsewhere";
/// What makes a path of a corpus a glob.
const GLOB: [char; 3] = ['*', '?', '['];

/// The paths that a folder's recipe names only as `elsewhere/NAME`, as they are: kept beside the checkpoint of a run that is not
/// finished.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Away {
    #[serde(skip_serializing_if = "Option::is_none")]
    teacher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corpus: Option<Vec<String>>,
}

impl Away {
    /// Those that a run in the folder `out` cannot name.
    pub fn of(recipe: &Recipe, out: &Path) -> Self {
        let named = seen_from(recipe, out);
        let is_away = |path: &String| Path::new(path).starts_with(ELSEWHERE);
        let start = match (&recipe.student.init, &named.student.init) {
            (Init::Folder(start), Init::Folder(named)) if is_away(named) => Some(absolute(start)),
            _ => None,
        };
        Self {
            teacher: is_away(&named.teacher).then(|| absolute(&recipe.teacher)),
            start,
            corpus: named
                .corpus
                .iter()
                .any(is_away)
                .then(|| recipe.corpus.iter().map(|path| absolute(path)).collect()),
        }
    }

    /// Puts them into a recipe.
    pub fn put_into(self, recipe: &mut Recipe) {
        if let Some(teacher) = self.teacher {
            recipe.teacher = teacher;
        }
        if let Some(start) = self.start {
            recipe.student.init = Init::Folder(start);
        }
        if let Some(corpus) = self.corpus {
            recipe.corpus = corpus;
        }
    }
}

fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(path);
    absolute.map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

/// The model on the hub that is named, unless something of that name is in the folder `base`.
pub fn on_hub(named: &str, base: &Path) -> Option<HubId> {
    let is_elsewhere = Path::new(named).starts_with(ELSEWHERE);
    // What cannot be looked at may be there.
    let is_absent = || match base.join(named).symlink_metadata() {
        Ok(_) => false,
        Err(e) => matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    };
    HubId::parse(named).filter(|_| !is_elsewhere && is_absent())
}

/// Where the folders were looked for whose names are taken for ids of the hub, because nothing was there; by these ids.
#[derive(Debug, Default)]
pub struct Looked(BTreeMap<String, String>);

impl Looked {
    /// A model that stands in a file of the folder `base`: a path from there, or an id of the hub.
    pub fn join_model(&mut self, base: &Path, named: &str) -> String {
        let path = join(base, named);
        let Some(id) = on_hub(named, base) else {
            return path;
        };
        // With a revision, it is not taken for a folder where the program is started.
        let model = match Path::new(named).exists() {
            true => id.at(id.revision()).to_string(),
            false => named.to_owned(),
        };
        self.0.insert(model.clone(), path);
        model
    }

    /// Where a folder of this name was looked for.
    pub fn place<'a>(&'a self, named: &'a str) -> &'a str {
        self.0.get(named).map_or(named, String::as_str)
    }
}

/// Takes the paths of a recipe that a run has left in the folder `base` to be relative to it. Ids of the hub have a commit there.
pub fn relative_to(recipe: &mut Recipe, base: &Path) -> Looked {
    let mut looked = Looked::default();
    let mut model = |named: &str| match HubId::pinned(named) {
        Some(_) => looked.join_model(base, named),
        None => join(base, named),
    };
    recipe.teacher = model(&recipe.teacher);
    recipe.out = join(base, &recipe.out);
    if let Init::Folder(start) = &mut recipe.student.init {
        *start = model(start);
    }
    for path in &mut recipe.corpus {
        *path = join_glob(base, path);
    }
    looked
}

/// A path that stands in a file of the folder `base`.
pub fn join(base: &Path, path: &str) -> String {
    match path.is_empty() || base.as_os_str().is_empty() {
        true => path.to_owned(),
        false => short(&base.join(path)).display().to_string(),
    }
}

/// The same of a path that may be a glob: what its base has of a glob's characters stands for itself.
pub fn join_glob(base: &Path, path: &str) -> String {
    if !path.contains(GLOB) {
        return join(base, path);
    }
    let literal = glob::Pattern::escape(&base.display().to_string());
    join(Path::new(&literal), path)
}

/// `student/../teacher` as `teacher`, where nothing is a link that would lead elsewhere.
fn short(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for component in path.components() {
        let up = component == Component::ParentDir;
        let is_folder = matches!(short.components().next_back(), Some(Component::Normal(_)));
        match component {
            Component::CurDir => {}
            _ if up && is_folder && !short.is_symlink() => {
                short.pop();
            }
            _ => short.push(component),
        }
    }
    match short.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => short,
    }
}

/// The recipe as a file of the folder `out` has it. A model of the hub is no secret: it keeps its name.
pub fn seen_from(recipe: &Recipe, out: &Path) -> Recipe {
    let people = People::of_this_machine();
    let out = &out.canonicalize().unwrap_or_else(|_| place(out));
    let seen = |path: &String| people.seen_from(path, out);
    let model = |named: &String| match HubId::pinned(named) {
        Some(_) if on_hub(named, Path::new("")).is_some() => named.clone(),
        _ => seen(named),
    };
    let mut seen_recipe = Recipe {
        teacher: model(&recipe.teacher),
        corpus: recipe.corpus.iter().map(seen).collect(),
        out: ".".to_owned(),
        ..recipe.clone()
    };
    if let Init::Folder(start) = &recipe.student.init {
        seen_recipe.student.init = Init::Folder(model(start));
    }
    seen_recipe
}

/// Where a path leads, without links but for the last one; what is not there, and what a glob leaves open, stays as written.
fn place(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut folder = path.to_owned();
    while let Some(name) = folder.file_name() {
        let is_last = rest.is_empty();
        if !is_last && let Ok(found) = folder.canonicalize() {
            folder = found;
            break;
        }
        rest.push(name.to_owned());
        folder.pop();
    }
    if folder.as_os_str().is_empty() {
        folder.push(".");
    }
    let mut found = folder.canonicalize().unwrap_or(folder);
    found.extend(rest.into_iter().rev());
    found
}

/// What a path could say of the people who use this machine.
pub struct People {
    /// The folder of whoever runs the program.
    pub home: Option<PathBuf>,
    /// What they are called here.
    pub names: Vec<String>,
}

impl People {
    fn of_this_machine() -> Self {
        let home = std::env::home_dir();
        let home = home.map(|home| home.canonicalize().unwrap_or(home));
        let variables = ["USER", "LOGNAME", "USERNAME"].into_iter();
        let mut names: Vec<String> = variables
            .filter_map(|name| std::env::var(name).ok())
            .collect();
        let last = home.as_deref().and_then(Path::file_name);
        names.extend(last.map(|name| name.to_string_lossy().into_owned()));
        names.retain(|name| !name.is_empty());
        Self { home, names }
    }

    /// A path from the folder `out`; `elsewhere/NAME` if the way leads over the top of the disk or a folder of home folders, or
    /// through one that bears a person's name.
    pub fn seen_from(&self, path: &str, out: &Path) -> String {
        if path.is_empty() {
            return String::new();
        }
        let target = place(Path::new(path));
        let common = out.components().zip(target.components());
        let common = common.take_while(|(a, b)| a == b).count();
        let top: PathBuf = target.components().take(common).collect();
        let is_above_home = |home: &PathBuf| home.starts_with(&top) && *home != top;
        let is_open = top.parent().is_some() && !self.home.as_ref().is_some_and(is_above_home);
        let up = out.components().skip(common).map(|_| "..".to_owned());
        let down = target.components().skip(common);
        let down: Vec<String> = down
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if is_open && !down.iter().any(|part| self.names.contains(part)) {
            return up.chain(down).collect::<Vec<_>>().join("/");
        }
        let name = target.file_name().unwrap_or_default();
        format!("{ELSEWHERE}/{}", name.to_string_lossy())
    }
}
