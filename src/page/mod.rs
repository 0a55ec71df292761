//! The page: plain files, compiled into the binary.

/// One file of the page.
#[derive(Debug)]
pub struct Asset {
    /// Where it is.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// The files.
static ASSETS: &[Asset] = &[
    Asset { path: "/", media_type: "text/html;charset=UTF-8", bytes: include_bytes!("index.html") },
    Asset { path: "/page.css", media_type: "text/css;charset=UTF-8", bytes: include_bytes!("page.css") },
    Asset { path: "/page.js", media_type: "text/javascript;charset=UTF-8", bytes: include_bytes!("page.js") },
];

/// What a page may do: only what comes from this server. It bars inline scripts, so that even text
/// put in as HTML by mistake could not run.
pub const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at `path`, if there is one.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}
