//! `limbeck serve`: the page from inside this program, and the engine on this machine behind a WebSocket.
//!
//! ```text
//! browser --GET--> door --> guard --> page            one engine on its own thread, whoever watches
//!         --/engine--> door --> guard --> socket <--> hub <--> engine --> devices, a folder
//! ```

mod door;
mod engine;
mod guard;
mod hub;
mod page;
mod pulse;
mod socket;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use crate::error::CliError;
use crate::interrupt::on_interrupt;
use crate::terminal;
use door::Visitor;
use engine::Given;
use guard::{Guard, Way};
use hub::Hub;
use page::Page;
use world::Keep;

/// Tried first, so that a page finds the settings that its browser holds for this address.
const USUAL_PORT: u16 = 7878;
/// How long pages may take to hear that the program ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Flags of `limbeck serve`.
#[derive(Args)]
pub struct Arguments {
    /// Port on 127.0.0.1; 0 takes any free one [default: 7878 if it is free, else any]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Do not open the browser
    #[arg(long)]
    no_open: bool,
    /// A teacher, offered to every page: its folder, or its id on the Hugging Face hub
    #[arg(long, value_name = "MODEL")]
    teacher: Option<PathBuf>,
    /// Text files, offered to every page: UTF-8, one document per line, plain or packed with gzip, zstd, xz or bzip2
    #[arg(long, value_name = "FILES", num_args = 1..)]
    corpus: Vec<PathBuf>,
    /// Folder to save the run in [default: limbeck-serve in this system's data folder, such as ~/.local/share]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Folder of a built page to serve instead of the built-in one
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
}

/// Runs `limbeck serve`.
///
/// # Errors
/// There is no page, a file or the port cannot be had, or the engine fails again and again.
pub fn main(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let page = Page::find(arguments.page.as_deref())?;
    let folder = arguments.keep.clone().unwrap_or_else(world::default_folder);
    let keep = Keep::open(folder)?;
    let given = Given {
        teacher: arguments.teacher.clone(),
        corpus: arguments.corpus.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Serve(format!("cannot start the server: {e}")))?;
    runtime.block_on(async {
        let listener = listen(arguments.port).await?;
        let house = Arc::new(House {
            guard: Guard::new(listener.local_addr()?.port())?,
            page,
            hub: Arc::default(),
        });
        let end = engine::start(house.hub.clone(), keep.clone(), given)?;
        invite(&house.guard, !arguments.no_open);
        serve(listener, house, end, &keep).await
    })
}

async fn listen(port: Option<u16>) -> Result<TcpListener, CliError> {
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    let (port, attempt) = match port {
        Some(port) => (port, bind(port).await),
        None => match bind(USUAL_PORT).await {
            Ok(listener) => (USUAL_PORT, Ok(listener)),
            Err(_) => (0, bind(0).await),
        },
    };
    attempt.map_err(|e| {
        CliError::Serve(format!(
            "cannot listen on 127.0.0.1:{port}: {e}. Omit --port to get a free one"
        ))
    })
}

fn invite(guard: &Guard, open: bool) {
    terminal::print(format_args!(
        "{}  (stop with ctrl-c; a run in progress is saved first)",
        guard.link()
    ));
    if open && let Err(reason) = open_browser(guard) {
        terminal::say(format_args!(
            "limbeck: cannot open a browser ({reason}): open the link yourself"
        ));
    }
}

fn open_browser(guard: &Guard) -> Result<(), String> {
    let link = guard.link_for_opener().map_err(|e| e.to_string())?;
    open::that_detached(link).map_err(|e| e.to_string())
}

/// What answers need.
struct House {
    guard: Guard,
    page: Page,
    hub: Arc<Hub>,
}

/// Until ctrl-c, or until the engine fails for good.
async fn serve(
    listener: TcpListener,
    house: Arc<House>,
    mut end: oneshot::Receiver<Result<(), CliError>>,
    keep: &Keep,
) -> Result<ExitCode, CliError> {
    let interrupted = Arc::new(Notify::new());
    let told_first = interrupted.clone();
    on_interrupt(move || told_first.notify_one())?;
    let hub = house.hub.clone();
    tokio::spawn(door::receive(listener, router(house)));
    tokio::select! {
        () = interrupted.notified() => {}
        ended = &mut end => return reported(ended),
    }
    let ran = hub.known().running();
    if ran {
        terminal::say("limbeck: saving the run; press ctrl-c again to exit at once");
    }
    hub.close();
    let code = reported(end.await)?;
    // A page that does not listen must not keep the program.
    let _ = tokio::time::timeout(FAREWELL, hub.empty()).await;
    match hub.known() {
        _ if !ran => {}
        known if known.not_saved.is_some() => {
            let reason = known.not_saved.unwrap_or_default();
            return Err(CliError::Serve(format!(
                "the run could not be saved: {reason}"
            )));
        }
        known => {
            if let Some(step) = known.saved_at {
                let folder = keep.folder().display();
                terminal::say(format_args!(
                    "limbeck: saved the run at step {step} in {folder}; the next limbeck serve offers to resume it"
                ));
            }
        }
    }
    Ok(code)
}

fn reported(
    ended: Result<Result<(), CliError>, oneshot::error::RecvError>,
) -> Result<ExitCode, CliError> {
    match ended {
        Ok(result) => result.map(|()| ExitCode::SUCCESS),
        Err(_) => Err(CliError::Serve(
            "the engine's thread ended without an error message; see above for any output"
                .to_owned(),
        )),
    }
}

fn router(house: Arc<House>) -> Router {
    Router::new()
        .route("/engine", get(engine_socket))
        .route("/engine.json", get(engine_kind))
        .fallback_service(get(page_file).with_state(house.clone()))
        .layer(from_fn_with_state(house.clone(), guarded))
        .with_state(house)
}

async fn engine_socket(
    State(house): State<Arc<House>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    socket::open(upgrade, house.hub.clone(), visitor)
}

/// How a page learns that it has an engine here; a plain file server has no such answer.
async fn engine_kind() -> Response {
    let kind = serde_json::json!({ "kind": "native", "protocol": limbeck_protocol::VERSION });
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, kind.to_string()).into_response()
}

async fn page_file(State(house): State<Arc<House>>, uri: Uri, headers: HeaderMap) -> Response {
    house.page.answer(uri.path(), &headers)
}

/// Around every answer: who may have it, and what the browser may do with it.
async fn guarded(
    State(house): State<Arc<House>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    request: Request,
    next: Next,
) -> Response {
    let way = house.guard.admit(request.uri(), request.headers());
    if matches!(way, Ok(Way::Link | Way::Code | Way::Cookie)) {
        visitor.recognise();
    }
    let mut response = match &way {
        Ok(Way::Code) => {
            let clean = [(LOCATION, "/"), (CACHE_CONTROL, "no-store")];
            (StatusCode::SEE_OTHER, clean).into_response()
        }
        Ok(Way::Link | Way::Cookie | Way::Public) => next.run(request).await,
        Err(reason) => (StatusCode::FORBIDDEN, reason.clone()).into_response(),
    };
    if matches!(way, Ok(Way::Link | Way::Code))
        && let Some(cookie) = house.guard.cookie()
    {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&house.guard.content_policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
