// Watches one flag with the official Java SDK, pointed at Flagstaff.
//
// Prints `value <JSON>` at the start and each time the value changes, and `evaluated <count>` at the end.
// Stops after RUN_SECONDS, or at Ctrl-C.

import com.launchdarkly.sdk.LDContext;
import com.launchdarkly.sdk.LDValue;
import com.launchdarkly.sdk.server.Components;
import com.launchdarkly.sdk.server.LDClient;
import com.launchdarkly.sdk.server.LDConfig;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

public final class Flip {
    private static final CountDownLatch stop = new CountDownLatch(1);
    private static final CountDownLatch done = new CountDownLatch(1);

    public static void main(String[] arguments) throws Exception {
        String url = setting("FLAGSTAFF_URL", "http://127.0.0.1:8030");
        String flagKey = setting("FLAG_KEY", "checkout-redesign");
        double seconds = Double.parseDouble(setting("RUN_SECONDS", "Infinity"));
        // Before anything is printed: who reads it may end the program at once. The hook keeps it alive until
        // what was counted is sent.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stop.countDown();
            try {
                done.await(30, TimeUnit.SECONDS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
            // Told to end, it ended well.
            Runtime.getRuntime().halt(0);
        }));

        LDConfig config = new LDConfig.Builder()
            .serviceEndpoints(Components.serviceEndpoints().relayProxy(url))
            .startWait(Duration.ofSeconds(10))
            .build();
        LDClient client = new LDClient(setting("FLAGSTAFF_SDK_KEY", "sdk-demo-production"), config);
        if (!client.isInitialized()) {
            System.err.println("no flags from " + url + " yet: is the service running? Still trying.");
        }
        LDContext user = LDContext.builder("official-java-user")
            .set("email", "official-java@example.com")
            .name("Official Java")
            .build();

        double ends = System.nanoTime() / 1e9 + seconds;
        int evaluated = 0;
        String shown = null;
        do {
            // Evaluated afresh each time, as a program does on every request.
            String value = client.jsonValueVariation(flagKey, user, LDValue.of("no value")).toJsonString();
            evaluated++;
            if (!value.equals(shown)) {
                System.out.println("value " + value);
                shown = value;
            }
        } while (!stop.await(10, TimeUnit.MILLISECONDS) && System.nanoTime() / 1e9 < ends);

        client.close(); // Sends what has been counted.
        System.out.println("evaluated " + evaluated);
        done.countDown();
    }

    private static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
