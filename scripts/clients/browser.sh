# Finds a browser, and installs what drives it, for the scripts that look at pages. Sourced, not run.
#
# CHROMIUM names another browser than the one that is found. CLIENTS is scripts/clients, and CACHE the folder that git ignores.

# The checks of the live page take two minutes, and twice that beside a build; past this they hang.
PAGE_SECONDS_MAX=600

# Succeeds if this machine can drive a browser: sets CHROMIUM.
find_browser() {
    CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
    export CHROMIUM
    [ -n "$CHROMIUM" ] && command -v npm >/dev/null &&
        node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null
}

# Puts the programs into CACHE/browser, and playwright-core beside them, once.
install_browser_programs() {
    local wanted
    wanted=$(sha256sum <"$CLIENTS/browser/package.json")
    # Modules are looked up from where a program lies, so the programs go where the packages are.
    mkdir -p "$CACHE/browser"
    cp "$CLIENTS"/browser/* "$CLIENTS/node/checks.mjs" "$CACHE/browser/"
    if [ "$(cat "$CACHE/browser.installed" 2>/dev/null)" != "$wanted" ]; then
        (cd "$CACHE/browser" && npm install --no-package-lock --no-audit --no-fund --loglevel=error >/dev/null) &&
            echo "$wanted" >"$CACHE/browser.installed"
    fi
}
