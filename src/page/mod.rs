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

const HTML: &str = "text/html;charset=UTF-8";
const CSS: &str = "text/css;charset=UTF-8";
const SCRIPT: &str = "text/javascript;charset=UTF-8";

const fn asset(path: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { path, media_type, bytes }
}

/// The files. Nothing is built, squeezed or fetched from elsewhere: a browser runs what is read here.
static ASSETS: &[Asset] = &[
    asset("/", HTML, include_bytes!("index.html")),
    asset("/page.css", CSS, include_bytes!("page.css")),
    asset("/main.js", SCRIPT, include_bytes!("main.js")),
    asset("/client.js", SCRIPT, include_bytes!("client.js")),
    asset("/record.js", SCRIPT, include_bytes!("record.js")),
    asset("/seat.js", SCRIPT, include_bytes!("seat.js")),
    asset("/lanes.js", SCRIPT, include_bytes!("lanes.js")),
    asset("/timeline.js", SCRIPT, include_bytes!("timeline.js")),
    asset("/kernel.js", SCRIPT, include_bytes!("kernel.js")),
    asset("/grid.js", SCRIPT, include_bytes!("grid.js")),
    asset("/wheel.js", SCRIPT, include_bytes!("wheel.js")),
    asset("/crowd.js", SCRIPT, include_bytes!("crowd.js")),
    asset("/publish.js", SCRIPT, include_bytes!("publish.js")),
    asset("/words.js", SCRIPT, include_bytes!("words.js")),
    asset("/dom.js", SCRIPT, include_bytes!("dom.js")),
];

/// What a page may do: only what comes from this server. It bars inline scripts, so that even text
/// put in as HTML by mistake could not run.
pub const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at `path`, if there is one.
pub fn find(path: &[u8]) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path.as_bytes() == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_whole() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes < 150_000, "{bytes}");
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for module in text.split(" from './").skip(1).filter_map(|rest| rest.split('\'').next()) {
                assert!(find(format!("/{module}").as_bytes()).is_some(), "{} wants {module}", asset.path);
            }
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "").contains("://");
            assert!(!elsewhere, "{} names another place", asset.path);
        }
    }
}
