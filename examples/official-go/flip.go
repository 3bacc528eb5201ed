// Watches one flag with the official Go SDK, pointed at Flagstaff.
//
// Prints `value <JSON>` at the start and each time the value changes, and `evaluated <count>` at the end.
// Stops after RUN_SECONDS, or at Ctrl-C.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	url := setting("FLAGSTAFF_URL", "http://127.0.0.1:8030")
	flagKey := setting("FLAG_KEY", "checkout-redesign")
	// Before anything is printed: who reads it may end the program at once.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	var ends <-chan time.Time
	if seconds, err := strconv.ParseFloat(os.Getenv("RUN_SECONDS"), 64); err == nil {
		ends = time.After(time.Duration(seconds * float64(time.Second)))
	}

	config := ld.Config{ServiceEndpoints: ldcomponents.RelayProxyEndpoints(url)}
	client, err := ld.MakeCustomClient(setting("FLAGSTAFF_SDK_KEY", "sdk-demo-production"), config, 10*time.Second)
	if err != nil {
		fmt.Fprintf(os.Stderr, "no flags from %s yet (%v): is the service running? Still trying.\n", url, err)
	}
	user := ldcontext.NewBuilder("official-go-user").
		SetString("email", "official-go@example.com").
		Name("Official Go").
		Build()

	evaluated, shown := 0, ""
	ticks := time.NewTicker(10 * time.Millisecond)
	for running := true; running; {
		// Evaluated afresh each time, as a program does on every request.
		value, _ := client.JSONVariation(flagKey, user, ldvalue.String("no value"))
		evaluated++
		if text, _ := json.Marshal(value); string(text) != shown {
			shown = string(text)
			fmt.Println("value", shown)
		}
		select {
		case <-ticks.C:
		case <-stop:
			running = false
		case <-ends:
			running = false
		}
	}
	client.Close() // Sends what has been counted.
	fmt.Println("evaluated", evaluated)
}
