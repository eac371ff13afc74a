package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/pipesteward/pipesteward/handlers/admin"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file that pages load.
type asset struct {
	content []byte
	version string // of the content
}

var assets = map[string]asset{"page.css": readAsset("page.css"), "page.js": readAsset("page.js"), "icon.svg": readAsset("icon.svg")}

func readAsset(name string) asset {
	content, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(content)
	return asset{content, hex.EncodeToString(sum[:8])}
}

// assetURL returns the address of an asset. It differs for each content.
func assetURL(name string) string {
	return strings.Replace(admin.PathAssets, ":name", name, 1) + "?v=" + assets[name].version
}

// serveAsset answers with an asset. Browsers keep that of an address with the version.
func serveAsset(c echo.Context) error {
	name := c.Param("name")
	a, known := assets[name]
	if !known {
		return echo.ErrNotFound
	}
	header := c.Response().Header()
	header.Set(echo.HeaderCacheControl, "no-cache")
	if c.QueryParam("v") == a.version {
		header.Set(echo.HeaderCacheControl, "private, max-age=31536000, immutable")
	}
	header.Set("ETag", `"`+a.version+`"`)
	header.Set(echo.HeaderContentType, mime.TypeByExtension(path.Ext(name)))
	header.Set(echo.HeaderXContentTypeOptions, "nosniff")
	http.ServeContent(c.Response(), c.Request(), name, time.Time{}, bytes.NewReader(a.content))
	return nil
}
