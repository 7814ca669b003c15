//! What is installed beside the program, written from its own command line: manual pages, and completions for shells.

use clap::{Arg, ArgAction, Command};
pub(super) use clap_complete::Shell;
use clap_complete::generate;
use clap_mangen::Man;

use super::ConfigError;

/// What a manual page says of the server besides its flags, as roff.
const OUTCOMES: &str = r#".SH SIGNALS
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
Drain: for up to \fB\-\-drain\-window\fR the clients that wait are told to come back later, and nobody new may wait. A
second signal stops at once.
.SH ENVIRONMENT
A flag \fB\-\-queue\-bytes\fR is also the variable \fBGEOLOOP_QUEUE_BYTES\fR and the key \fBqueue\-bytes\fR of the file of
\fB\-\-config\fR. Flags go over variables, variables over the file, the file over the defaults.
.TP
\fBLISTEN_FDS\fR, \fBLISTEN_PID\fR
Sockets that listen already, as systemd hands them over; they take the place of \fB\-\-listen\fR.
.TP
\fBNOTIFY_SOCKET\fR
Where the server says that it serves, and that it stops, as systemd asks for it.
.SH "EXIT STATUS"
.TP
0
It has drained, or printed what was asked for.
.TP
1
Something failed, as one line on standard error says.
.TP
2
The command line, a variable or the file is wrong.
"#;

/// The manual page of the program, or of one of its verbs.
///
/// # Errors
/// When there is no such verb.
pub(super) fn page(command: Command, verb: Option<&str>) -> Result<String, ConfigError> {
    let mut command = offered(command).disable_help_subcommand(true);
    command.build();
    let source = command.render_version().trim_end().to_owned();
    if let Some(verb) = verb {
        let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        let Some(found) = command.find_subcommand(verb) else {
            return Err(ConfigError::Usage(format!("{verb:?} is none of the verbs {}", names.join(", "))));
        };
        command = found.clone();
    }
    let mut page = Vec::new();
    let serves = verb.is_none_or(|verb| verb == "serve");
    Man::new(command).source(source).render(&mut page).expect("a Vec takes it");
    let page = String::from_utf8(page).expect("it was made from text");
    Ok(if serves { page + OUTCOMES } else { page })
}

/// What has a shell complete the command line.
pub(super) fn completions(command: Command, shell: Shell) -> String {
    let mut command = offered(command);
    let mut text = Vec::new();
    generate(shell, &mut command, "geoloop", &mut text);
    String::from_utf8(text).expect("it was made from text")
}

/// The command line without the verbs that are hidden, which completions would offer, and with --no-simulate, which is
/// another spelling until it is parsed.
fn offered(command: Command) -> Command {
    let opposite = |command: Command| {
        if !command.get_arguments().any(|argument| argument.get_id() == "simulate") {
            return command;
        }
        let opposite = Arg::new("no-simulate").long("no-simulate").action(ArgAction::SetTrue);
        command.arg(opposite.help("Make up no location: refuse a publish without one"))
    };
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().map(opposite);
    let whole = Command::new("geoloop")
        .version(env!("CARGO_PKG_VERSION"))
        .about(command.get_about().cloned().unwrap_or_default())
        .args(command.get_arguments().cloned())
        .subcommands(verbs);
    opposite(whole)
}
