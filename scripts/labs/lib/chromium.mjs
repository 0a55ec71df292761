// How Chromium is started, by labs and by tests.
export const options = {
  executablePath: process.env.DOORBELL_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    // It may be root who runs it, and it visits nobody but us.
    "--no-sandbox", "--no-proxy-server", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
};
