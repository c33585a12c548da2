package customersorders

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"tidings.example/examples/shared/sampletest"
	"tidings.example/internal/servertest"
)

// shots is a directory for screenshots, for people who change the page.
var shots = os.Getenv("CUSTOMERS_ORDERS_SHOTS")

// browser is a tab of a real browser, and what went wrong in it.
type browser struct {
	t        *testing.T
	ctx      context.Context
	url      string
	problems chan string
}

func openBrowser(t *testing.T, url string, width, height int64) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(servertest.Chromium(t)), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(sampletest.Patience))
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	b := &browser{t: t, ctx: tab, url: url, problems: make(chan string, 100)}
	if err := chromedp.Listen(tab, b.listen); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	return b
}

// listen collects errors of scripts, refused resources, and requests to anywhere but the gateway.
func (b *browser) listen(event any) {
	var problem string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("exception: %+v", *e.ExceptionDetails)
	case *log.EventEntryAdded:
		// Answers that say what is wrong with a request are what a test asks for.
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "status of 4") {
			problem = "error: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.url) && !strings.HasPrefix(u, "data:") {
			problem = "request to " + u
		}
	}
	if problem != "" {
		select {
		case b.problems <- problem:
		default:
		}
	}
}

// limit keeps a test from waiting for a browser that hangs.
func (b *browser) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, sampletest.Patience)
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.limit()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// fill types into a field, which is emptied before.
func (b *browser) fill(id, text string) {
	b.t.Helper()
	b.value(fmt.Sprintf(`document.getElementById(%q).value = ""`, id))
	b.do(chromedp.SendKeys(chromedp.CSS("#"+id), text))
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// value is what an expression is in the page, as text.
func (b *browser) value(expression string) string {
	b.t.Helper()
	ctx, cancel := b.limit()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// waitText waits until the text of an element contains a part.
func (b *browser) waitText(selector, part string) {
	b.t.Helper()
	sampletest.WaitFor(b.t, func() error {
		got := b.value(fmt.Sprintf(`(document.querySelector(%q) || {}).textContent || ""`, selector))
		if !strings.Contains(got, part) {
			return fmt.Errorf("%s is %q, without %q", selector, got, part)
		}
		return nil
	})
}

// waitCount waits until so many elements match a selector.
func (b *browser) waitCount(selector string, n int) {
	b.t.Helper()
	sampletest.WaitFor(b.t, func() error {
		if got := b.value(fmt.Sprintf("document.querySelectorAll(%q).length", selector)); got != strconv.Itoa(n) {
			return fmt.Errorf("there are %s of %s, want %d", got, selector, n)
		}
		return nil
	})
}

func (b *browser) shoot(name string) {
	b.t.Helper()
	if shots == "" {
		return
	}
	ctx, cancel := b.limit()
	defer cancel()
	image, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(shots, name+".png"), image, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// wantNoProblems fails the test with what went wrong in the browser.
func (b *browser) wantNoProblems() {
	b.t.Helper()
	for {
		select {
		case p := <-b.problems:
			b.t.Error(p)
		default:
			return
		}
	}
}

// TestPage does with the page what a person does, and sees what a person sees,
// without ever loading it again.
func TestPage(t *testing.T) {
	t.Parallel()
	r := startAll(t, Design)
	b := openBrowser(t, r.URL, 1280, 900)
	b.waitText("#live", "live")

	b.fill("name", "Ada Lovelace")
	b.fill("limit", "100")
	b.click("#customer-form button[type=submit]")
	b.waitText("#customers", "Ada Lovelace")
	b.waitText("#customers", "100.00 available of 100.00")

	b.fill("total", "12.34")
	b.click("#order-form button[type=submit]")
	b.waitText("#orders li:first-child .state", "APPROVED")
	b.waitText("#customers", "87.66 available of 100.00")
	for _, name := range []string{"CustomerCreated", "OrderCreated", "CreditReserved", "OrderApproved"} {
		b.waitText("#messages", name)
	}

	b.fill("total", "87.67")
	b.click("#order-form button[type=submit]")
	b.waitText("#orders li:first-child", "credit limit exceeded")

	// What somebody else does shows up here too.
	other := r.createCustomer("Grace Hopper", "50")
	b.waitText("#customers li:first-child", "Grace Hopper")
	r.createOrder(other, "50")
	b.waitText("#orders li:first-child", "Grace Hopper")
	b.waitText("#customers li:first-child", "0.00 available of 50.00")

	b.click("#orders li:last-child button")
	b.waitText("#orders li:last-child", "by the customer")
	b.waitText("#customers li:last-child", "100.00 available of 100.00")
	b.waitText("#messages", "CreditReleased")

	b.fill("total", "12.345")
	b.click("#order-form button[type=submit]")
	b.waitText("#order-problem", "orderTotal.amount must have no more than 2 decimals")

	b.value(`document.getElementById("customer").value = "nobody"`)
	b.fill("total", "1")
	b.click("#order-form button[type=submit]")
	b.waitText("#orders li:first-child", "customer not found")

	b.click("#messages li:first-child summary")
	b.waitText("#messages li:first-child dl", "lane")
	b.shoot("desktop")

	b.click("#order-ten")
	b.waitCount("#orders li", 14)
	b.click("#customers li:first-child button")
	b.waitText("#history-title", "History of Grace Hopper")
	b.waitText("#history-orders", "APPROVED")
	b.shoot("desktop-history")
	b.wantNoProblems()
}

// TestPageUnderLoad: the page keeps up with many messages, and is right in the end.
func TestPageUnderLoad(t *testing.T) {
	t.Parallel()
	r := startAll(t, Design)
	b := openBrowser(t, r.URL, 1280, 900)
	b.waitText("#live", "live")
	customer := r.createCustomer("Ada", "100")
	for range 260 {
		r.createOrder(customer, "0.5")
	}
	b.waitText("#customers", "0.00 available of 100.00")
	b.waitCount("#orders li", 200) // more are not kept in the page
	b.waitCount("#messages li", 200)
	b.waitCount("#orders [data-state=APPROVED], #orders [data-state=CANCELLED]", 200)
	b.click("#orders-more")
	b.waitCount("#orders li", 260)
	b.waitCount("#orders [data-state=APPROVED]", 200)
	b.wantNoProblems()
}

// TestPageOnAPhone: nothing is wider than the screen, and every field has a label.
func TestPageOnAPhone(t *testing.T) {
	t.Parallel()
	r := startAll(t, Design)
	customer := r.createCustomer("A customer with a name that is long, and a-part-of-it-that-cannot-be-broken-anywhere-at-all", "999999999999.99")
	r.waitState(r.createOrder(customer, "999999999999.99"), "APPROVED")
	b := openBrowser(t, r.URL, 360, 740)
	b.waitText("#live", "live")
	b.waitText("#orders", "999,999,999,999.99")
	b.waitText("#orders .name", "A customer with a name") // also where the orders were loaded first
	b.click("#messages li:first-child summary")
	b.waitText("#messages", "OrderApproved")
	b.shoot("phone")
	if width := b.value("document.documentElement.scrollWidth"); width != "360" {
		t.Errorf("the page is %s wide on a screen of 360", width)
	}
	const unlabelled = `[...document.querySelectorAll("input, select, button")].filter(e => !(e.labels && e.labels.length) && !e.textContent.trim() && !e.ariaLabel).length`
	if n := b.value(unlabelled); n != "0" {
		t.Errorf("%s fields or buttons have no label", n)
	}
	b.click("#customers li:first-child button")
	b.waitText("#history-orders", "APPROVED")
	b.shoot("phone-history")
	b.wantNoProblems()
}

// TestPageOutlivesTheGateway stops the system under an open page and starts it again.
func TestPageOutlivesTheGateway(t *testing.T) {
	t.Parallel()
	s := sampletest.NewServers(t)
	addr := sampletest.FreeAddr(t)
	run := func() *running {
		return start(t, Design, Config{Broker: s.Broker(), Databases: s.Databases(Services...), Addrs: map[string]string{Gateway: addr}})
	}
	r := run()
	r.createCustomer("Ada", "100")
	b := openBrowser(t, r.URL, 1280, 900)
	b.waitText("#customers", "Ada")
	b.waitText("#messages", "CustomerCreated")
	r.Stop()
	b.waitText("#live", "trying again")
	r = run()
	b.waitText("#live", "live")
	other := r.createCustomer("Grace", "50")
	r.createOrder(other, "20")
	b.waitText("#customers li:first-child", "30.00 available of 50.00")
	b.waitText("#orders li:first-child .state", "APPROVED")
	if n := b.value(`document.querySelectorAll("#customers li").length`); n != "2" {
		t.Errorf("the page shows %s customers, want 2", n)
	}
}
