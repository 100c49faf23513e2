/** Whether others may connect to this device now. */

/** The longest round trip to its parent with which a device begins to take children, in milliseconds. */
const GOOD_MILLISECONDS = 250;

export class Openness {
  /** Whether the page lets other devices connect through this one. */
  isWilling = false;
  /** What was said in the last handshake. */
  told = false;
  private isOpen = false;

  /** What to say in a handshake. */
  tell(): boolean {
    this.told = this.isOpen;
    return this.told;
  }

  /**
   * Whether others may connect to it, as things are now.
   *
   * @param can - whether it could answer their offers.
   * @param roundTrip - of the link to its parent, in milliseconds; 0 where it is not known. A bad link keeps a
   *   device only from beginning to take children.
   */
  decide(can: boolean, roundTrip: number): boolean {
    this.isOpen = this.isWilling && can && (this.isOpen || roundTrip <= GOOD_MILLISECONDS);
    return this.isOpen;
  }
}
